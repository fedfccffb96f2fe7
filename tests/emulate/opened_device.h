/* opened_device: the device that a test program works on, opened before its tests and closed behind them: cmocka_run_group_tests_name(.., open_device, close_device). */
#ifndef TESTS_EMULATE_OPENED_DEVICE_H
#define TESTS_EMULATE_OPENED_DEVICE_H

#include "kernels/cuda_module.h"

static struct device *device;

static inline int open_device(void **state)
{
    (void)state;
    return cuda_module_create(&(struct device_options){0}, &device);
}

static inline int close_device(void **state)
{
    (void)state;
    device_destroy(&device);
    return 0;
}

#endif
