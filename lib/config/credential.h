/*
 * credential - the copies of secrets that systemd hands to a service
 *
 * LoadCredential=secrets:/etc/sendmail365/secrets makes one of every file in
 * there, below $CREDENTIALS_DIRECTORY: of "client-secret" the one that is
 * called "secrets_client-secret".  They are as the files were when the service
 * was started.
 */
#ifndef CONFIG_CREDENTIAL_H
#define CONFIG_CREDENTIAL_H

/* $CREDENTIALS_DIRECTORY, or NULL where there is none. */
const char *credential_directory(void);

/*
 * The copy of a file that the configuration names by a relative path, for the
 * caller to free(); NULL: there is none, or the path is not of that kind.
 */
char *credential_find(const char *name);

#endif
