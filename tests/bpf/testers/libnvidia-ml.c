/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The entry points of NVML that are used, with its ABI and without a GPU: of two GPUs, the first
 * one is used by every process that has mapped libcuda.so.1.
 *
 * The file that NVML_TEST_STATE names may have a word in it: "unloaded" (the driver is), "hang" or
 * "lost" (the GPU is). Each question for the GPUs adds a byte to the file that NVML_TEST_ASKED
 * names. The second GPU does not tell how busy it is.
 */
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define EXPORTED __attribute__((visibility("default"), noinline))

enum {
	SUCCESS = 0,
	NOT_SUPPORTED = 3,
	NOT_FOUND = 6,
	INSUFFICIENT_SIZE = 7,
	DRIVER_NOT_LOADED = 9,
	GPU_IS_LOST = 15
};

struct device {
	unsigned index;
};

struct utilization {
	unsigned gpu, memory;
};

struct memory {
	unsigned long long total, free, used;
};

struct process {
	unsigned pid;
	unsigned long long used_bytes;
	unsigned gpu_instance, compute_instance;
};

struct process_utilization {
	unsigned pid;
	unsigned long long time_us;
	unsigned sm, memory, encoder, decoder;
};

static struct device devices[] = {{0}, {1}};

static int state_is(const char *wanted)
{
	const char *path = getenv("NVML_TEST_STATE");
	FILE *file = path ? fopen(path, "r") : NULL;
	char word[16] = "";
	int is;

	if (!file)
		return 0;
	is = fscanf(file, "%15s", word) == 1 && !strcmp(word, wanted);
	fclose(file);
	return is;
}

static int uses_cuda(const char *maps)
{
	FILE *file = fopen(maps, "r");
	char line[4096];
	int found = 0;

	while (file && !found && fgets(line, sizeof(line), file))
		found = strstr(line, "/libcuda.so.1") != NULL;
	if (file)
		fclose(file);
	return found;
}

static unsigned users(struct device *device, unsigned *pids, unsigned room)
{
	unsigned count = 0;
	glob_t found;

	if (device->index || glob("/proc/[0-9]*/maps", 0, NULL, &found))
		return 0;
	for (size_t i = 0; i < found.gl_pathc && count < room; i++)
		if (uses_cuda(found.gl_pathv[i]))
			pids[count++] = atoi(found.gl_pathv[i] + strlen("/proc/"));
	globfree(&found);
	return count;
}

EXPORTED const char *nvmlErrorString(int result)
{
	return result == GPU_IS_LOST ? "GPU is lost" : "Something else";
}

EXPORTED int nvmlInit_v2(void)
{
	return state_is("unloaded") ? DRIVER_NOT_LOADED : SUCCESS;
}

EXPORTED int nvmlShutdown(void)
{
	return SUCCESS;
}

EXPORTED int nvmlDeviceGetCount_v2(unsigned *count)
{
	const char *path = getenv("NVML_TEST_ASKED");
	FILE *file = path ? fopen(path, "a") : NULL;

	if (file) {
		fputc('.', file);
		fclose(file);
	}
	while (state_is("hang"))
		usleep(10000);
	*count = sizeof(devices) / sizeof(*devices);
	return SUCCESS;
}

EXPORTED int nvmlDeviceGetHandleByIndex_v2(unsigned index, struct device **device)
{
	*device = &devices[index];
	return state_is("lost") ? GPU_IS_LOST : SUCCESS;
}

EXPORTED int nvmlDeviceGetUUID(struct device *device, char *uuid, unsigned length)
{
	return snprintf(uuid, length, "GPU-%u", device->index) < 0;
}

EXPORTED int nvmlDeviceGetName(struct device *device, char *name, unsigned length)
{
	return snprintf(name, length, "Test GPU %u", device->index) < 0;
}

EXPORTED int nvmlDeviceGetUtilizationRates(struct device *device, struct utilization *rates)
{
	if (device->index)
		return NOT_SUPPORTED;
	rates->gpu = 70;
	rates->memory = 20;
	return SUCCESS;
}

EXPORTED int nvmlDeviceGetMemoryInfo(struct device *device, struct memory *memory)
{
	memory->total = 80ull << 30;
	memory->used = device->index ? 0 : 9ull << 30;
	memory->free = memory->total - memory->used;
	return SUCCESS;
}

EXPORTED int nvmlDeviceGetComputeRunningProcesses_v3(struct device *device, unsigned *count,
						     struct process *processes)
{
	unsigned pids[256], room = *count, found = users(device, pids, 256);

	*count = found;
	if (found > room)
		return INSUFFICIENT_SIZE;
	for (unsigned i = 0; i < found; i++)
		processes[i] = (struct process){.pid = pids[i], .used_bytes = 1ull << 33};
	return SUCCESS;
}

EXPORTED int nvmlDeviceGetProcessUtilization(struct device *device,
					     struct process_utilization *samples, unsigned *count,
					     unsigned long long since_us)
{
	unsigned pids[256], room = *count, found = users(device, pids, 256);
	struct timespec now;

	if (device->index)
		return NOT_SUPPORTED;
	*count = found;
	if (!found)
		return NOT_FOUND;
	if (!samples || found > room)
		return INSUFFICIENT_SIZE;
	clock_gettime(CLOCK_REALTIME, &now);
	for (unsigned i = 0; i < found; i++) {
		samples[i] = (struct process_utilization){.pid = pids[i], .sm = 60};
		samples[i].time_us = now.tv_sec * 1000000ull + now.tv_nsec / 1000;
	}
	return since_us ? SUCCESS : NOT_FOUND;
}
