static int read_weights(const char *path, void *memory)
{
    char head[64];
    FILE *file;
    int whole;

    if (path == NULL)
        return fail("%s: the file of weights is needed", "NAME_create");
    file = fopen(path, "rb");
    if (file == NULL)
        return fail("%s cannot be opened", path);
    if (fread(head, 1, sizeof head, file) != sizeof head
        || memcmp(head, weights_head, sizeof weights_head) != 0) {
        fclose(file);
        return fail("%s is not the file of weights of this library", path);
    }
    whole = fread(memory, 1, WEIGHTS_BYTES, file) == WEIGHTS_BYTES && fgetc(file) == EOF;
    fclose(file);
    return whole ? 0 : fail("%s is cut short, or too long", path);
}
