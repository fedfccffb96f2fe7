/* prepare: a communicator takes what it will of a GPU's memory before the run's memory is reserved, and a network that does not work is found at start.
 *
 * NCCL connects ranks, with buffers in device memory, when it first chooses an algorithm (since 2.22; NCCL_RUNTIME_CONNECT), not when a communicator is made. It chooses by the collective,
 * the operation, the bytes and the network: trees and PAT while latency counts, rings and the switch's own sums (NVLS) behind; where one gives way to the next lies between kilobytes and,
 * over many hosts, a hundred megabytes. So one size cannot stand for all: each collective is called with the most elements that it is going to have, with a quarter of them, and so on down to
 * one. NCCL_RUNTIME_CONNECT=0 would connect everything at once, used or not, on every communicator (the world's too, which only the host uses), and take gigabytes.
 */
#ifndef COMM_PREPARE_H
#define COMM_PREPARE_H

#include "comm/comm.h"

enum comm_kind { COMM_ALL_REDUCE, COMM_REDUCE_SCATTER, COMM_ALL_GATHER, COMM_ALL_TO_ALL, COMM_BROADCAST };

/* A collective that is going to be called with a stream, and its largest count. op: of a reduction. */
struct comm_use { enum comm_kind kind; enum comm_type type; enum comm_op op; int64_t count; };

/* Calls them on scratch memory of the device, which is given back, and waits, in the watchdog's phase "connect". Nothing where host and device memory are one, and on one rank. Collective. */
int prepare_comm(struct comm *comm, struct device *device, const struct comm_use *use, int n_uses);

/* Since the device had `left` bytes, communicators have taken what it lacks now: to device->comm_bytes. */
void prepare_count(struct device *device, size_t left);

#endif
