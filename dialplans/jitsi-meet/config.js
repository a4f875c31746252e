// Number and PIN in Jitsi Meet's invitation: append to config.js of the web client
// (/etc/jitsi/meet/meet.example.org-config.js; in Docker: ~/.jitsi-meet-cfg/web/custom-config.js).
// hosts.muc must be set there, as it is by default. Without one of the two addresses the page says nothing of telephones.
config.dialInNumbersUrl = 'https://meet.example.org/phoneNumberList';
config.dialInConfCodeUrl = 'https://meet.example.org/conferenceMapper';
