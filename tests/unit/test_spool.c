#include <sys/stat.h>

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/buf.h"
#include "core/failure.h"
#include "core/file.h"
#include "mail/address.h"
#include "queue/journal.h"
#include "queue/spool.h"

enum {
	LARGE = 200 * 1024,
	DUE_MS = 1800000000
};

struct fixture {
	char directory[64];
	struct spool *spool;
	struct failure f;
};

static int
set_up(void **state)
{
	static struct fixture x;

	x = (struct fixture){ .directory = "/tmp/test_spool.XXXXXX" };
	assert_non_null(mkdtemp(x.directory));
	assert_int_equal(spool_open(x.directory, true, &x.spool, &x.f), 0);
	*state = &x;
	return 0;
}

static void
remove_folders(const struct fixture *x)
{
	static const char *const folders[] = { "queue", "failed", "incoming",
		"journal" };
	char path[128];

	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		(void)snprintf(
		    path, sizeof(path), "%s/%s", x->directory, folders[i]);
		(void)rmdir(path);
	}
}

static int
tear_down(void **state)
{
	struct fixture *x = *state;

	spool_free(&x->spool);
	remove_folders(x);
	(void)rmdir(x->directory);
	return 0;
}

static struct spool_envelope
make_envelope(const char *sender, const char *recipient)
{
	struct spool_envelope e = { .is_notice = false };
	struct failure f;
	struct mailbox m;

	assert_int_equal(
	    mailbox_parse_sender(span_of(sender), &e.sender, &f), 0);
	assert_int_equal(mailbox_parse(span_of(recipient), &m, &f), 0);
	mailbox_list_take(&e.recipients, m);
	dsn_take_parameter(&e.dsn, span_of("RET=HDRS"));
	dsn_take_parameter(&e.dsn, span_of("ENVID=a+2Bb"));
	dsn_take_parameter(&e.dsn, span_of("NOTIFY=NEVER"));
	return e;
}

/* Write one message in pieces of the given size. */
static struct spool_id
put(struct fixture *x, struct span content, size_t piece, int64_t due_ms)
{
	struct spool_envelope e = make_envelope("a@x.example", "root");
	struct spool_writer w;

	assert_int_equal(spool_begin(x->spool, 1000, &e, &w, &x->f), 0);
	while (content.len > 0) {
		struct span s = { content.s,
			content.len < piece ? content.len : piece };

		assert_int_equal(spool_write(&w, s, &x->f), 0);
		content.s += s.len;
		content.len -= s.len;
	}
	assert_int_equal(spool_commit(&w, due_ms, &x->f), 0);
	envelope_done(&e);
	return w.id;
}

static void
remove_message(struct fixture *x, struct spool_id id)
{
	assert_int_equal(spool_remove(x->spool, SPOOL_QUEUE, id, &x->f), 0);
}

static void
test_names(void **state)
{
	struct spool_id id = { 0, 0 };
	char name[SPOOL_NAME_SIZE];

	(void)state;
	assert_true(spool_parse_name("0006423A1B2C3D4E.1000", &id));
	assert_int_equal(id.number, 0x0006423A1B2C3D4E);
	assert_int_equal(id.uid, 1000);
	spool_name(id, name);
	assert_string_equal(name, "0006423A1B2C3D4E.1000");
	assert_false(spool_parse_name("0006423a1b2c3d4e.1000", &id));
	assert_false(spool_parse_name("0006423A1B2C3D4E.01000", &id));
	assert_false(spool_parse_name("0006423A1B2C3D4E.4294967296", &id));
	assert_false(spool_parse_name("0006423A1B2C3D4E.-1", &id));
	assert_false(spool_parse_name("0006423A1B2C3D4E", &id));
	assert_false(spool_parse_name("", &id));
	assert_true(spool_parse_id("0006423A1B2C3D4E", &id));
	assert_false(spool_parse_id("../../etc/passwd", &id));
}

static void
check_content(struct fixture *x, struct spool_id id, struct span want)
{
	struct spool_message m;
	char block[8192];
	uint64_t at = 0;
	ssize_t n;

	assert_int_equal(spool_read(x->spool, SPOOL_QUEUE, id, &m, &x->f), 0);
	assert_int_equal(m.content_size, want.len);
	while ((n = spool_content(&m, at, block, sizeof(block), &x->f)) > 0) {
		assert_memory_equal(block, want.s + at, (size_t)n);
		at += (uint64_t)n;
	}
	assert_int_equal(n, 0);
	assert_int_equal(at, want.len);
	assert_string_equal(m.envelope.sender.local, "a");
	assert_int_equal(m.envelope.recipients.count, 1);
	assert_string_equal(m.envelope.recipients.items[0].local, "root");
	assert_false(m.envelope.is_notice);
	assert_int_equal(m.envelope.dsn.notify, DSN_NEVER);
	assert_int_equal(m.envelope.dsn.ret, 'H');
	assert_string_equal(m.envelope.dsn.envid, "a+2Bb");
	spool_message_done(&m);
}

static void
test_what_is_written_is_read(void **state)
{
	static char large[LARGE];
	static const size_t sizes[] = { 0, 1, 4000, 65000, LARGE };
	static const size_t pieces[] = { 100, 65536, LARGE };
	struct fixture *x = *state;

	for (size_t i = 0; i < LARGE; i++)
		large[i] = (char)(i * 7 >> 3);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		for (size_t k = 0; k < sizeof(pieces) / sizeof(pieces[0]);
		     k++) {
			struct span want = { large, sizes[i] };
			struct spool_id id = put(x, want, pieces[k], 0);

			check_content(x, id, want);
			remove_message(x, id);
		}
}

static void
test_an_unfinished_message_is_not_there(void **state)
{
	struct fixture *x = *state;
	struct spool_envelope e = make_envelope("", "b@x.example");
	struct spool_message m;
	struct spool_writer w;
	struct spool_id id;

	assert_int_equal(spool_begin(x->spool, 1, &e, &w, &x->f), 0);
	id = w.id;
	assert_int_equal(spool_write(&w, span_of("x"), &x->f), 0);
	assert_int_equal(spool_read(x->spool, SPOOL_QUEUE, id, &m, &x->f), -1);
	assert_int_equal(x->f.kind, FAILURE_USAGE);
	spool_abandon(&w);
	envelope_done(&e);
}

static void
test_the_directory_knows_due_time_and_hold(void **state)
{
	struct fixture *x = *state;
	struct spool_id id = put(x, span_of("x"), 10, DUE_MS);
	struct spool_status s;

	assert_int_equal(spool_stat(x->spool, SPOOL_QUEUE, id, &s, &x->f), 0);
	assert_int_equal(s.due_ms, DUE_MS);
	assert_false(s.is_held);
	assert_int_equal(spool_set_due(x->spool, id, 12345678901, &x->f), 0);
	assert_int_equal(spool_set_held(x->spool, id, true, &x->f), 0);
	assert_int_equal(spool_stat(x->spool, SPOOL_QUEUE, id, &s, &x->f), 0);
	assert_int_equal(s.due_ms, 12345678901);
	assert_true(s.is_held);
	assert_int_equal(spool_set_held(x->spool, id, false, &x->f), 0);
	assert_int_equal(
	    spool_move(x->spool, SPOOL_QUEUE, SPOOL_FAILED, id, &x->f), 0);
	assert_int_equal(spool_stat(x->spool, SPOOL_QUEUE, id, &s, &x->f), -1);
	assert_int_equal(spool_remove(x->spool, SPOOL_FAILED, id, &x->f), 0);
}

/* ---- files that are none of ours ---- */

#define NAME       "0006423A1B2C3D4E.1000"
#define HEAD(e, c) "sendmail365 spool 1 " e " " c "\n"
#define E53        HEAD("00000053", "0000000000000001")

static const struct {
	const char *name;
	const char *text;
} hostile[] = {
	{ "empty", "" },
	{ "no magic", "From: a@x.example\r\n\r\nthis is a plain message file" },
	{ "another version",
	    "sendmail365 spool 9 00000053 0000000000000001\nE\nx" },
	{ "sizes that are no numbers",
	    HEAD("0000005x", "0000000000000001") "E\nx" },
	{ "an envelope of 0 octets",
	    HEAD("00000000", "0000000000000048") "xx" },
	{ "shorter than it says", E53 "U 1000\n" },
	{ "no end mark",
	    HEAD("00000062", "0000000000000001") "U 1000\nS \nR a@x\nx" },
	{ "no recipients",
	    HEAD("00000058", "0000000000000001") "U 1000\nS \nE\nx" },
	{ "another user",
	    HEAD("00000062", "0000000000000001") "U 0\nS \nR ab@x\nE\nx" },
	{ "an unknown line",
	    HEAD("00000064", "0000000000000001") "U 1000\nX \nR a@x\nE\nx" },
	{ "a recipient that is none",
	    HEAD("00000064", "0000000000000001") "U 1000\nS \nR |sh\nE\nx" },
	{ "lines behind the end mark",
	    HEAD("00000064", "0000000000000001") "U 1000\nR a@x\nE\nS \nx" },
};

static void
write_file(struct fixture *x, const char *text, mode_t mode)
{
	int fd = openat(
	    spool_queue_fd(x->spool), NAME, O_WRONLY | O_CREAT | O_EXCL, mode);

	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
	fd_close(&fd);
}

static void
count_bad(void *context, struct spool_id id, const struct spool_status *status,
    const char *name, const char *why)
{
	(void)id;
	(void)name;
	if (status == NULL && why != NULL)
		++*(int *)context;
}

static void
check_refused(struct fixture *x, const char *name)
{
	struct spool_id id = { 0x0006423A1B2C3D4E, 1000 };
	struct spool_message m;

	if (spool_read(x->spool, SPOOL_QUEUE, id, &m, &x->f) != -1 ||
	    x->f.kind != FAILURE_DATA)
		fail_msg("%s: was read", name);
	assert_non_null(strstr(x->f.text, "left alone"));
	assert_int_equal(unlinkat(spool_queue_fd(x->spool), NAME, 0), 0);
}

static void
test_hostile_files_are_left_alone(void **state)
{
	struct fixture *x = *state;

	for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
		write_file(x, hostile[i].text, 0600);
		check_refused(x, hostile[i].name);
	}
}

#define GOOD HEAD("00000064", "0000000000000001") "U 1000\nS \nR a@x\nE\nx"

static void
test_a_good_file_is_taken(void **state)
{
	struct fixture *x = *state;
	struct spool_id id = { 0x0006423A1B2C3D4E, 1000 };
	struct spool_message m;

	write_file(x, GOOD, 0600);
	if (spool_read(x->spool, SPOOL_QUEUE, id, &m, &x->f) == -1)
		fail_msg("%s", x->f.text);
	spool_message_done(&m);
	assert_int_equal(spool_remove(x->spool, SPOOL_QUEUE, id, &x->f), 0);
}

static void
test_hostile_kinds_of_file_are_left_alone(void **state)
{
	struct fixture *x = *state;
	int fd = spool_queue_fd(x->spool);
	int bad = 0;

	assert_int_equal(symlinkat("/etc/passwd", fd, NAME), 0);
	check_refused(x, "a symbolic link");
	assert_int_equal(mkfifoat(fd, NAME, 0600), 0);
	check_refused(x, "a FIFO");
	write_file(x, GOOD, 0644);
	check_refused(x, "open to others");
	write_file(x, GOOD, 0600);
	assert_int_equal(linkat(fd, NAME, fd, "second", 0), 0);
	assert_int_equal(
	    spool_scan(x->spool, SPOOL_QUEUE, count_bad, &bad, &x->f), 0);
	assert_int_equal(bad, 2);
	check_refused(x, "a second name");
	assert_int_equal(unlinkat(fd, "second", 0), 0);
	if (geteuid() != 0)
		return;
	write_file(x, GOOD, 0600);
	assert_int_equal(fchownat(fd, NAME, 1, 1, 0), 0);
	check_refused(x, "another user's");
}

static void
test_one_process_serves_it(void **state)
{
	struct fixture *x = *state;
	struct spool *second = NULL;

	assert_int_equal(spool_lock(x->spool, &x->f), 0);
	assert_int_equal(spool_open(x->directory, false, &second, &x->f), 0);
	assert_int_equal(spool_lock(second, &x->f), -1);
	spool_free(&second);
}

static void
test_a_directory_of_others_is_refused(void **state)
{
	struct fixture *x = *state;
	struct spool *second = NULL;

	assert_int_equal(chmod(x->directory, 0777), 0);
	assert_int_equal(spool_open(x->directory, true, &second, &x->f), -1);
	assert_int_equal(x->f.kind, FAILURE_CONFIG);
	assert_int_equal(chmod(x->directory, 0700), 0);
	assert_int_equal(
	    spool_open("/nonexistent/spool", false, &second, &x->f), -1);
}

/* ---- the journal ---- */

static void
append_raw(struct fixture *x, struct spool_id id, const char *text)
{
	char name[SPOOL_NAME_SIZE];
	int fd;

	spool_name(id, name);
	fd = openat(spool_journal_fd(x->spool), name,
	    O_WRONLY | O_APPEND | O_CREAT, 0600);
	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
	fd_close(&fd);
}

static struct journal
read_journal(struct fixture *x, struct spool_id id)
{
	struct journal j;

	assert_int_equal(journal_read(x->spool, id, &j, &x->f), 0);
	return j;
}

static void
append_journal(struct fixture *x, struct spool_id id, struct journal *j)
{
	assert_int_equal(journal_append(x->spool, id, j, &x->f), 0);
	journal_done(j);
	*j = read_journal(x, id);
}

static void
test_the_journal_remembers(void **state)
{
	static const char odd[] = "\"a > b\"@x.example";
	struct fixture *x = *state;
	struct spool_id id = put(x, span_of("x"), 1, 0);
	struct journal j = read_journal(x, id);

	assert_int_equal(j.attempts, 0);
	assert_int_equal(j.count, 0);
	assert_null(journal_find(&j, odd));
	j.attempts = 2;
	journal_set(&j, "a@x", JOURNAL_DEFERRED, "4.0.0", "later");
	journal_set(&j, odd, JOURNAL_FAILED, "5.1.1", "no\nS\r\nuser\x1b");
	journal_set(&j, "a@x", JOURNAL_SENT, "2.0.0", "");
	append_journal(x, id, &j);
	assert_int_equal(j.attempts, 2);
	assert_int_equal(j.count, 2);
	assert_int_equal(journal_find(&j, "a@x")->status, JOURNAL_SENT);
	assert_int_equal(journal_find(&j, odd)->status, JOURNAL_FAILED);
	assert_string_equal(journal_find(&j, odd)->dsn, "5.1.1");
	assert_string_equal(
	    journal_find(&j, odd)->text, "no\\x0aS\\x0d\\x0auser\\x1b");
	assert_int_equal(journal_count(&j, JOURNAL_FAILED), 1);
	journal_done(&j);
	remove_message(x, id);
}

/* A server gives another reason each time, for many recipients and days. */
static void
test_a_long_journal_knows_who_has_the_message(void **state)
{
	struct fixture *x = *state;
	struct spool_id id = put(x, span_of("x"), 1, 0);
	struct journal j = read_journal(x, id);
	char address[32];
	char text[600];

	for (int attempt = 0; attempt < 20; attempt++) {
		for (int i = 0; i < 1000; i++) {
			(void)snprintf(address, sizeof(address), "a%d@x", i);
			(void)snprintf(
			    text, sizeof(text), "%0550d", attempt + 1);
			journal_set(
			    &j, address, JOURNAL_DEFERRED, "4.0.0", text);
		}
		append_journal(x, id, &j);
	}
	assert_true(j.size < (size_t)6 * 1024 * 1024);
	journal_set(&j, "a7@x", JOURNAL_SENT, "2.0.0", "yes");
	append_journal(x, id, &j);
	assert_int_equal(journal_count(&j, JOURNAL_SENT), 1);
	assert_int_equal(journal_find(&j, "a7@x")->status, JOURNAL_SENT);
	journal_done(&j);
	remove_message(x, id);
}

static void
test_room_that_is_kept_is_not_seen(void **state)
{
	struct fixture *x = *state;
	struct spool_id id = put(x, span_of("x"), 10, 0);
	struct journal j;

	assert_int_equal(journal_reserve(x->spool, id, 100, &x->f), 0);
	assert_int_equal(journal_read(x->spool, id, &j, &x->f), 0);
	assert_int_equal(j.count, 0);
	journal_set(&j, "a@b.example", JOURNAL_SENT, "2.0.0", "yes");
	assert_int_equal(journal_append(x->spool, id, &j, &x->f), 0);
	journal_done(&j);
	assert_int_equal(journal_reserve(x->spool, id, 100, &x->f), 0);
	assert_int_equal(journal_read(x->spool, id, &j, &x->f), 0);
	assert_int_equal(journal_count(&j, JOURNAL_SENT), 1);
	assert_int_equal(
	    journal_reserve(x->spool, id, SIZE_MAX / 1024, &x->f), -1);
	assert_int_equal(x->f.kind, FAILURE_LATER);
	journal_done(&j);
	remove_message(x, id);
}

static void
test_a_torn_line_is_ignored(void **state)
{
	struct fixture *x = *state;
	struct spool_id id = put(x, span_of("x"), 1, 0);
	struct journal j;

	append_raw(x, id, "A 3\nR S 2.0.0 3 a@x torn");
	j = read_journal(x, id);
	assert_int_equal(j.attempts, 3);
	assert_int_equal(j.count, 0);
	/* What is appended behind it is not part of it. */
	journal_set(&j, "b@x", JOURNAL_DEFERRED, "4.0.0", "later");
	append_journal(x, id, &j);
	assert_int_equal(journal_find(&j, "b@x")->status, JOURNAL_DEFERRED);
	journal_done(&j);
	remove_message(x, id);
}

static void
test_odd_journals_do_no_harm(void **state)
{
	struct fixture *x = *state;
	struct spool_id id = put(x, span_of("x"), 1, 0);
	struct journal j;

	append_raw(x, id,
	    "A 99999999999999999999\nA x\nR S 2.0.0 9 a@x\nR Q 2.0.0 3 a@x\n"
	    "R SS 2 3 a@x\nR S 2.0.0 -1 x\n\n \nR\nX y\nR S 2.0.0 0 x\n"
	    "R F 5.123456789012345 3 a@x\nR S 2.0.0 3 b@x\n");
	j = read_journal(x, id);
	assert_int_equal(j.attempts, 0);
	assert_int_equal(j.count, 1);
	assert_int_equal(journal_find(&j, "b@x")->status, JOURNAL_SENT);
	journal_done(&j);
	remove_message(x, id);
}

/* Whoever the spool belongs to gets no file of root's by a link to it. */
static void
test_root_gives_away_what_it_made_only(void **state)
{
	struct fixture *x = *state;
	struct spool_id id = { 1, 1 };
	char name[SPOOL_NAME_SIZE];
	struct stat st;
	int fd;

	if (geteuid() != 0)
		skip();
	spool_free(&x->spool);
	remove_folders(x);
	assert_int_equal(chown(x->directory, 1, 1), 0);
	assert_int_equal(spool_open(x->directory, true, &x->spool, &x->f), 0);
	fd = spool_journal_fd(x->spool);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_uid, 1);
	spool_name(id, name);
	append_raw(x, id, "root's\n");
	assert_int_equal(linkat(fd, name, fd, "root's", 0), 0);
	assert_int_equal(journal_reserve(x->spool, id, 1, &x->f), -1);
	assert_int_equal(fstatat(fd, "root's", &st, 0), 0);
	assert_int_equal(st.st_uid, 0);
	assert_int_equal(unlinkat(fd, "root's", 0), 0);
	/* The other name is gone: it is still not one that root has made. */
	assert_int_equal(journal_reserve(x->spool, id, 1, &x->f), -1);
	assert_int_equal(fstatat(fd, name, &st, 0), 0);
	assert_int_equal(st.st_uid, 0);
	assert_int_equal(unlinkat(fd, name, 0), 0);
	assert_int_equal(journal_reserve(x->spool, id, 1, &x->f), 0);
	assert_int_equal(fstatat(fd, name, &st, 0), 0);
	assert_int_equal(st.st_uid, 1);
	assert_int_equal(unlinkat(fd, name, 0), 0);
}

static void
test_journals_of_nobody_are_removed(void **state)
{
	struct fixture *x = *state;
	struct spool_id gone = { 1, 1 };
	struct spool_id id = put(x, span_of("x"), 1, 0);
	char name[SPOOL_NAME_SIZE];

	append_raw(x, gone, "A 1\n");
	append_raw(x, id, "A 1\n");
	spool_clean(x->spool);
	spool_name(gone, name);
	assert_int_equal(unlinkat(spool_journal_fd(x->spool), name, 0), -1);
	spool_name(id, name);
	assert_int_equal(unlinkat(spool_journal_fd(x->spool), name, 0), 0);
	remove_message(x, id);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		TEST(test_what_is_written_is_read),
		TEST(test_an_unfinished_message_is_not_there),
		TEST(test_the_directory_knows_due_time_and_hold),
		TEST(test_hostile_files_are_left_alone),
		TEST(test_a_good_file_is_taken),
		TEST(test_hostile_kinds_of_file_are_left_alone),
		TEST(test_one_process_serves_it),
		TEST(test_a_directory_of_others_is_refused),
		TEST(test_the_journal_remembers),
		TEST(test_a_long_journal_knows_who_has_the_message),
		TEST(test_room_that_is_kept_is_not_seen),
		TEST(test_a_torn_line_is_ignored),
		TEST(test_odd_journals_do_no_harm),
		TEST(test_root_gives_away_what_it_made_only),
		TEST(test_journals_of_nobody_are_removed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
