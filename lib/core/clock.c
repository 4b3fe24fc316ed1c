#include "core/clock.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

int64_t
clock_ms(void)
{
	struct timespec now;

	/* Cannot fail: the clock and the address are valid. */
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t
clock_epoch_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t
clock_deadline(int seconds)
{
	return clock_ms() + (int64_t)seconds * 1000;
}

int
clock_left_ms(int64_t deadline)
{
	int64_t left = deadline - clock_ms();

	if (left <= 0)
		return 0;
	return left > INT_MAX ? INT_MAX : (int)left;
}

void
clock_date(time_t when, char out[static CLOCK_DATE_SIZE])
{
	static const char days[][4] = { "Sun", "Mon", "Tue", "Wed", "Thu",
		"Fri", "Sat" };
	static const char months[][4] = { "Jan", "Feb", "Mar", "Apr", "May",
		"Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	struct tm tm = { .tm_mday = 1 };
	long zone;

	(void)localtime_r(&when, &tm);
	zone = labs(tm.tm_gmtoff) / 60;
	(void)snprintf(out, CLOCK_DATE_SIZE,
	    "%s, %d %s %d %02d:%02d:%02d %c%02ld%02ld", days[tm.tm_wday],
	    tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour,
	    tm.tm_min, tm.tm_sec, tm.tm_gmtoff < 0 ? '-' : '+', zone / 60 % 24,
	    zone % 60);
}
