#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "command.h"
#include "config/config.h"
#include "core/failure.h"
#include "core/log.h"
#include "mail/address.h"
#include "mail/complete.h"
#include "mail/message.h"
#include "route/deliver.h"

static const char usage[] = "verify [-C FILE] [--] ADDRESS...";

/* "root... deliverable: boss@contoso.com", as sendmail -bv has always said. */
static int
print_plan(const char *shown, const struct delivery *d)
{
	struct failure f;
	struct buf to;

	if (delivery_refusal(d, &f) == -1) {
		(void)printf("%s... not deliverable: %s\n", shown, f.text);
		return EX_NOUSER;
	}
	buf_init(&to, (size_t)ADDRESS_MAX * d->plan.recipients.count * 2);
	for (size_t i = 0; i < d->plan.recipients.count; i++) {
		(void)buf_puts(&to, i > 0 ? ", " : "");
		(void)mailbox_write_address(&to, &d->plan.recipients.items[i]);
	}
	(void)printf("%s... deliverable: %s\n", shown, to.s);
	buf_done(&to);
	return EX_OK;
}

/* What would become of a message of the caller's to this recipient. */
static int
verify_mailbox(
    const struct config *config, struct mailbox *recipient, const char *shown)
{
	struct mailbox author;
	struct mailbox_list recipients = { recipient, 1 };
	struct message message;
	const struct delivery_input input = {
		.sender = &author,
		.recipients = &recipients,
		.message = &message,
	};
	struct delivery d;
	int status;

	complete_author(&author);
	message_init(&message);
	delivery_plan(config, &input, &d);
	status = print_plan(shown, &d);
	delivery_done(&d);
	message_done(&message);
	mailbox_done(&author);
	return status;
}

static int
verify_address(const struct config *config, const char *address)
{
	char shown[FAILURE_TEXT_SIZE];
	struct mailbox recipient;
	struct failure f;
	int status;

	log_escape(shown, sizeof(shown), address, strlen(address));
	if (mailbox_parse(span_of(address), &recipient, &f) == -1) {
		(void)printf("%s... not deliverable: %s\n", shown, f.text);
		return EX_NOUSER;
	}
	status = verify_mailbox(config, &recipient, shown);
	mailbox_done(&recipient);
	return status;
}

int
command_verify(int argc, char **argv)
{
	const char *config_path = NULL;
	struct config *config = NULL;
	struct failure f;
	int status = EX_OK;
	int c;

	while ((c = getopt(argc, argv, "+C:")) != -1) {
		if (c != 'C')
			return command_usage(usage);
		config_path = optarg;
	}
	if (optind == argc)
		return command_usage(usage);
	if (config_load(config_path, &config, &f) == -1)
		return command_fail(&f);
	for (int i = optind; i < argc; i++)
		if (verify_address(config, argv[i]) != EX_OK)
			status = EX_NOUSER;
	config_free(&config);
	return status;
}
