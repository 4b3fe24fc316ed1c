<?php
// Mail from an application: as it always was.
$sent = mail('boss@contoso.com', 'Hello', "from a container\n");
http_response_code($sent ? 200 : 503);
echo $sent ? "sent\n" : "not sent\n";
