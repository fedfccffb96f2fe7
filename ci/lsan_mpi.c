/* lsan_mpi: part of comm/ in builds with AddressSanitizer. What Open MPI allocates in MPI_Init and MPI_Finalize, and keeps, is not ours to judge. Told so where it happens, LeakSanitizer need not
 * tell it by its stack: that took a whole stack of each of some 100,000 allocations, and the names of 3,000, in every rank of every test. Nothing that was loaded is unloaded, so that a frame's
 * library can be named, as ci/lsan.supp does for what other threads allocate. */
#include <dlfcn.h>
#include <link.h>
#include <sanitizer/lsan_interface.h>

/* The linker's --wrap: MPI_Init_thread is __wrap_MPI_Init_thread to the program, and __real_MPI_Init_thread is MPI_Init_thread, which a test may preload. */
int __real_MPI_Init_thread(int *argc, char ***argv, int required, int *provided);
int __wrap_MPI_Init_thread(int *argc, char ***argv, int required, int *provided);
int __real_MPI_Finalize(void);
int __wrap_MPI_Finalize(void);

static void keep_all_loaded(void)
{
    struct link_map *map = NULL;
    void *program = dlopen(NULL, RTLD_LAZY);
    if (program && dlinfo(program, RTLD_DI_LINKMAP, &map) == 0)
        for (; map; map = map->l_next)
            if (map->l_name[0])
                (void)dlopen(map->l_name, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
}

int __wrap_MPI_Init_thread(int *argc, char ***argv, int required, int *provided)
{
    __lsan_disable();
    int error = __real_MPI_Init_thread(argc, argv, required, provided);
    keep_all_loaded();
    __lsan_enable();
    return error;
}

int __wrap_MPI_Finalize(void)
{
    __lsan_disable();
    int error = __real_MPI_Finalize();
    __lsan_enable();
    return error;
}
