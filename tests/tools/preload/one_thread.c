/* one_thread: an MPI library that is open to one thread only, whatever it is asked for. Preloaded (LD_PRELOAD). */
#include <mpi.h>

int MPI_Init_thread(int *argc, char ***argv, int required, int *provided)
{
    (void)required;
    return PMPI_Init_thread(argc, argv, MPI_THREAD_SINGLE, provided);
}
