/* Stands for two programs of others while an installer looks for WebView2 under Wine: as curl.exe it "fetches" itself
   from the address that Microsoft documents, and what it fetched "installs" WebView2, which is a number in the registry. */
#include <stdio.h>
#include <string.h>
#include <windows.h>

static const char key[] = "Software\\Microsoft\\EdgeUpdate\\Clients\\{F3017226-FE2A-4295-8BDF-00C3A9A7E4C5}";
static const char url[] = "https://go.microsoft.com/fwlink/p/?LinkId=2124703";

static int fetch(int argc, char **argv)
{
    char self[MAX_PATH];
    const char *to = NULL;
    int https = 0;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--output") && i + 1 < argc) to = argv[i + 1];
        if (!strcmp(argv[i], "--proto") && i + 1 < argc) https = !strcmp(argv[i + 1], "=https");
    }
    if (!to || !https || strcmp(argv[argc - 1], url)) return 2;
    GetModuleFileNameA(NULL, self, sizeof self);
    return CopyFileA(self, to, TRUE) ? 0 : 23;
}

int main(int argc, char **argv)
{
    if (strstr(argv[0], "curl")) return fetch(argc, argv);
    if (argc != 3 || strcmp(argv[1], "/silent") || strcmp(argv[2], "/install")) return 1;
    return RegSetKeyValueA(HKEY_CURRENT_USER, key, "pv", REG_SZ, "1.2.3.4", 8) ? 1 : 0;
}
