/* Stands for a new version of the application that does not start: it ends at once, or it hangs. */
#include <windows.h>

int main(void)
{
#ifdef HANGS
    Sleep(INFINITE);
#endif
    return 3;
}
