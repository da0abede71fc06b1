//! Users by name, as `/etc/passwd` has them.

use std::path::Path;

use anyhow::{Context as _, bail};

use crate::files::read_limited;

/// Where the names of users are.
const PASSWD: &str = "/etc/passwd";
/// Largest file of users, bytes.
const PASSWD_MAX_BYTES: usize = 16 * 1_024 * 1_024;

/// The ids of users that are given by name or number.
pub(crate) fn uids(users: &[String]) -> anyhow::Result<Vec<u32>> {
    if users.iter().all(|user| user.parse::<u32>().is_ok()) {
        return Ok(users.iter().filter_map(|user| user.parse().ok()).collect());
    }
    let bytes = read_limited(Path::new(PASSWD), PASSWD_MAX_BYTES)?;
    let text = String::from_utf8_lossy(&bytes);
    users.iter().map(|user| uid(user, &text)).collect()
}

fn uid(user: &str, passwd: &str) -> anyhow::Result<u32> {
    if let Ok(uid) = user.parse() {
        return Ok(uid);
    }
    let mut lines = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let line = lines.find(|fields| fields.first() == Some(&user));
    match line.as_deref() {
        // name, password, uid, gid, …
        Some([_, _, uid, ..]) => {
            uid.parse().with_context(|| format!("`{PASSWD}` gives no number for the user `{user}`"))
        }
        _ => bail!(
            "`{PASSWD}` knows no user `{user}`; one of a directory service is given by number (`id -u {user}`)"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_known_by_name_or_number() {
        let passwd =
            "root:x:0:0:root:/root:/bin/sh\nana:x:1000:1000::/home/ana:/bin/sh\nbroken:x\nodd:x:y:1\n";
        assert_eq!(uid("ana", passwd).unwrap(), 1000);
        assert_eq!(uid("4711", passwd).unwrap(), 4711);
        for (user, told) in
            [("bob", "id -u bob"), ("broken", "no user"), ("odd", "no number"), ("", "no user")]
        {
            assert!(uid(user, passwd).unwrap_err().to_string().contains(told), "{user}");
        }
        assert_eq!(uids(&["0".to_owned(), "7".to_owned()]).unwrap(), [0, 7]);
        assert_eq!(uids(&["root".to_owned()]).unwrap(), [0]);
    }
}
