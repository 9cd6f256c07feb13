/* probe: facts about this host, from /proc, sysfs and statvfs, as one JSON object.  An example of an integration in C: typed config and inputs, progress,
 * a log line, a JSON writer. */
#include <charter/integration.h>
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>

static struct config {
    bool interfaces;
} config;

static struct inputs {
    char mount[256];
} inputs;

static const struct charter_field config_fields[] = {
    {"interfaces", CHARTER_FIELD_BOOLEAN, CHARTER_AT(struct config, interfaces), 0, "true",
     "whether network interfaces are listed", NULL, NULL, NULL},
};

static const struct charter_field input_fields[] = {
    {"mount", CHARTER_FIELD_STRING, CHARTER_AT(struct inputs, mount), 0, "\"/\"",
     "the file system to look at, by the place where it is mounted", NULL, NULL, NULL},
};

/* The first line of a small file, without its line feed; "" where there is none. */
static const char *line_of(const char *path, char *to, size_t size)
{
    FILE *file = fopen(path, "r");
    if (file == NULL || fgets(to, (int)size, file) == NULL)
        to[0] = '\0';
    if (file != NULL)
        fclose(file);
    to[strcspn(to, "\n")] = '\0';
    return to;
}

/* The number behind NAME: in /proc/meminfo, in KiB; 0 where it is not there. */
static long long memory_kib(const char *name)
{
    char line[128];
    long long kib = 0;
    FILE *file = fopen("/proc/meminfo", "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ':')
            sscanf(line + strlen(name) + 1, "%lld", &kib);
    if (file != NULL)
        fclose(file);
    return kib;
}

static int count_cpus(void)
{
    char line[256];
    int cpus = 0;
    FILE *file = fopen("/proc/stat", "r"); /* lines "cpu0 …", "cpu1 …" */
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        cpus += strncmp(line, "cpu", 3) == 0 && line[3] >= '0' && line[3] <= '9';
    if (file != NULL)
        fclose(file);
    return cpus > 0 ? cpus : 1;
}

static void put_interfaces(struct charter_writer *w)
{
    char path[320], text[64];
    struct dirent *entry;
    DIR *folder = opendir("/sys/class/net");
    charter_write_key(w, "interfaces");
    charter_write_list(w);
    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        long long bytes = 0;
        if (entry->d_name[0] == '.')
            continue;
        charter_write_object(w);
        charter_put_string(w, "name", entry->d_name);
        snprintf(path, sizeof path, "/sys/class/net/%s/operstate", entry->d_name);
        charter_put_string(w, "state", line_of(path, text, sizeof text));
        snprintf(path, sizeof path, "/sys/class/net/%s/statistics/rx_bytes", entry->d_name);
        sscanf(line_of(path, text, sizeof text), "%lld", &bytes);
        charter_put_integer(w, "received_bytes", bytes);
        charter_write_object_end(w);
    }
    charter_write_list_end(w);
    if (folder != NULL)
        closedir(folder);
}

static int execute(struct charter_ctx *ctx)
{
    struct utsname name;
    struct statvfs disk;
    char text[128], kernel[160];
    double up_s = 0, load = -1;
    long long all_kib = memory_kib("MemTotal"), free_kib = memory_kib("MemAvailable");

    charter_progress(ctx, 1, 2, "reading /proc");
    sscanf(line_of("/proc/uptime", text, sizeof text), "%lf", &up_s);
    sscanf(line_of("/proc/loadavg", text, sizeof text), "%*s %lf", &load);
    if (uname(&name) != 0 || all_kib == 0 || load < 0)
        return charter_fail_for_good(ctx, 1, "/proc has no load or no memory: probe needs Linux");
    snprintf(kernel, sizeof kernel, "%.60s %.60s", name.sysname, name.release);
    charter_progress(ctx, 2, 2, "reading the file system");
    if (statvfs(inputs.mount, &disk) != 0 || disk.f_blocks == 0)
        return charter_fail_for_good(ctx, 2, "there is no file system at %s", inputs.mount);
    uint64_t used = disk.f_blocks - disk.f_bfree, usable = used + disk.f_bavail;

    charter_log(ctx, CHARTER_LOG_INFO, "%s runs %s", name.nodename, kernel);
    struct charter_writer *w = charter_result(ctx);
    charter_write_object(w);
    charter_put_string(w, "host", name.nodename);
    charter_put_string(w, "kernel", kernel);
    charter_put_integer(w, "up_s", (int64_t)up_s);
    charter_put_integer(w, "cpus", count_cpus());
    charter_put_number(w, "load", load);
    charter_put_integer(w, "memory_mib", all_kib / 1024);
    charter_put_integer(w, "memory_percent", (all_kib - free_kib) * 100 / all_kib);
    charter_put_string(w, "mount", inputs.mount);
    charter_put_integer(w, "disk_mib", (int64_t)((uint64_t)disk.f_blocks * disk.f_frsize >> 20));
    charter_put_integer(w, "disk_free_mib",
                        (int64_t)((uint64_t)disk.f_bavail * disk.f_frsize >> 20));
    charter_put_integer(w, "disk_percent",
                        usable == 0 ? 0 : (int64_t)((used * 100 + usable - 1) / usable));
    if (config.interfaces)
        put_interfaces(w);
    charter_write_object_end(w);
    return 0;
}

int main(int argc, char **argv)
{
    static char request[CHARTER_REQUEST_DEFAULT], answer[16384];
    const struct charter_integration probe = {.name = "probe",
                                              .execute = execute,
                                              .config_fields = config_fields,
                                              .config_field_count = 1,
                                              .config = &config,
                                              .input_fields = input_fields,
                                              .input_field_count = 1,
                                              .inputs = &inputs,
                                              .output_type = CHARTER_OUTPUT_OBJECT,
                                              .request = request,
                                              .request_size = sizeof request,
                                              .answer = answer,
                                              .answer_size = sizeof answer};
    return charter_integration_main(argc, argv, &probe);
}
