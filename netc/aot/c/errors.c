#if defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L && !defined(__wasm__)
static _Thread_local char last_error[512];
#else
static char last_error[512];
#endif

const char *NAME_last_error(void)
{
    return last_error;
}

static int fail(const char *format, const char *what)
{
    snprintf(last_error, sizeof last_error, format, what);
    return -1;
}
