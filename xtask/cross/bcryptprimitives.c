/* The random numbers that Rust's standard library asks Windows for. Wine 8 has no such library; only tests use this. */

#include <windows.h>

/* advapi32 exports RtlGenRandom under this name. */
BOOLEAN NTAPI SystemFunction036(PVOID buffer, ULONG length);

BOOL WINAPI ProcessPrng(PBYTE buffer, SIZE_T length)
{
    const ULONG most = 1 << 20;

    for (SIZE_T done = 0; done < length;) {
        ULONG part = length - done < most ? (ULONG)(length - done) : most;
        if (!SystemFunction036(buffer + done, part))
            return FALSE;
        done += part;
    }
    return TRUE;
}
