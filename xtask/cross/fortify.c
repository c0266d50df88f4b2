/* What Debian's LLVM unwinder, which is compiled for glibc, wants beyond the C standard when it complains. */

#include <stdarg.h>
#include <stdio.h>

int __fprintf_chk(FILE *stream, int flag, const char *format, ...)
{
    va_list arguments;
    int written;

    (void)flag;
    va_start(arguments, format);
    written = vfprintf(stream, format, arguments);
    va_end(arguments);
    return written;
}
