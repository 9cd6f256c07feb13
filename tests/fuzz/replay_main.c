/*
 * main() for a fuzz target without a fuzzing engine: gives each file named on the command
 * line, or each file of a folder named there, to the target once. So a corpus is a
 * regression test for any compiler. Never generates an input of its own.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        return 1;
    }
    /* A block of exactly the input's size, so that a sanitizer or valgrind sees a read past its end. */
    uint8_t *data = NULL;
    long size = -1;
    if (fseek(file, 0, SEEK_END) == 0 && (size = ftell(file)) >= 0 && fseek(file, 0, SEEK_SET) == 0)
        data = malloc(size > 0 ? (size_t)size : 1);
    int failed = data == NULL || fread(data, 1, (size_t)size, file) != (size_t)size;
    fclose(file);
    if (failed)
        fprintf(stderr, "%s: cannot be read\n", path);
    else
        (void)LLVMFuzzerTestOneInput(data, (size_t)size);
    free(data);
    return failed;
}

static int replay_folder(DIR *folder, const char *path)
{
    int failed = 0;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        char file[4096];
        if (entry->d_name[0] == '.')
            continue;
        int n = snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
        failed |= n < 0 || (size_t)n >= sizeof file || replay_file(file);
    }
    return failed;
}

int main(int argc, char **argv)
{
    int failed = 0;
    for (int i = 1; i < argc; i++) {
        DIR *folder = opendir(argv[i]);
        if (folder != NULL) {
            failed |= replay_folder(folder, argv[i]);
            closedir(folder);
        } else {
            failed |= replay_file(argv[i]);
        }
    }
    return failed;
}
