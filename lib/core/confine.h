/*
 * confine - a process that gives up what it does not need
 *
 * Everything here is a second line of defence: where the kernel has not got
 * it, the program runs without.
 */
#ifndef CORE_CONFINE_H
#define CORE_CONFINE_H

/*
 * From here on this process can open files below directory only, have no
 * socket but a Unix one, run no program, and trace nobody.  What is open stays
 * open.
 */
void confine_to_directory(const char *directory);

#endif
