/* import_report: what an import kept and why the rest went, to the log. */
#ifndef LAUNCH_IMPORT_REPORT_H
#define LAUNCH_IMPORT_REPORT_H

#include "dataset/import.h"

void import_report(const char *folder, const struct import_counts *counts);

#endif
