//! The files of a system installation.

use std::path::Path;

use serde_json::Value;

/// The user and the group that the server runs as.
pub(super) const USER: &str = "deeds";
/// The configuration.
pub(super) const CONFIG: &str = "/etc/deeds/config.toml";
/// The policy.
pub(super) const POLICY: &str = "/etc/deeds/policy";
/// The log and its keys.
pub(super) const DATA: &str = "/var/lib/deeds";
/// The socket.
pub(super) const SOCKET: &str = "/run/deeds/deeds.sock";
/// The service.
pub(super) const UNIT: &str = "/etc/systemd/system/deeds.service";

/// The server's configuration.
pub(super) fn config(peers: &[String]) -> String {
    let peers = Value::from(peers.to_vec());
    format!(
        "# The deeds server of this machine. `systemctl restart deeds` takes up what is changed here.\n\
         data = \"{DATA}\"\n\
         socket = \"{SOCKET}\"\n\
         policy = \"{POLICY}\"\n\
         # Users whose processes are served; each must be in the group `{USER}` too, which the socket is open to.\n\
         peers = {peers}\n"
    )
}

/// The line for whoever uses the server.
pub(super) fn client_setting() -> String {
    format!("socket = \"{SOCKET}\"")
}

/// The service: nothing but its own directory to write to, nothing but its socket to talk over.
pub(super) fn unit(program: &Path) -> String {
    format!(
        "# Made by `deeds install --system`.\n\
         [Unit]\n\
         Description=deeds: decides and records what agents do\n\
         After=local-fs.target time-sync.target\n\
         \n\
         [Service]\n\
         Type=exec\n\
         ExecStart={} serve --config {CONFIG}\n\
         User={USER}\n\
         Group={USER}\n\
         UMask=0077\n\
         Restart=on-failure\n\
         RestartSec=1\n\
         TimeoutStopSec=15\n\
         LimitNOFILE=65536\n\
         # {DATA}: the log and its keys, for nobody else\n\
         StateDirectory=deeds\n\
         StateDirectoryMode=0700\n\
         # /run/deeds: the socket, for the group\n\
         RuntimeDirectory=deeds\n\
         RuntimeDirectoryMode=0750\n\
         \n\
         NoNewPrivileges=yes\n\
         CapabilityBoundingSet=\n\
         ProtectSystem=strict\n\
         ProtectHome=yes\n\
         PrivateTmp=yes\n\
         PrivateDevices=yes\n\
         ProtectKernelTunables=yes\n\
         ProtectKernelModules=yes\n\
         ProtectKernelLogs=yes\n\
         ProtectControlGroups=yes\n\
         ProtectClock=yes\n\
         ProtectHostname=yes\n\
         RestrictAddressFamilies=AF_UNIX\n\
         IPAddressDeny=any\n\
         RestrictNamespaces=yes\n\
         RestrictRealtime=yes\n\
         RestrictSUIDSGID=yes\n\
         LockPersonality=yes\n\
         MemoryDenyWriteExecute=yes\n\
         SystemCallArchitectures=native\n\
         SystemCallFilter=@system-service\n\
         SystemCallFilter=~@privileged @resources\n\
         # Not set, and not to be set: PrivateUsers (it would hide who calls), ProtectProc (it would hide which \
         process).\n\
         \n\
         [Install]\n\
         WantedBy=multi-user.target\n",
        program.display()
    )
}
