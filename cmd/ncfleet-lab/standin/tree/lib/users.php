<?php
// Stand-in for tests, not Nextcloud; see README.md.
namespace Standin;

/** The users, in oc_users. */
final class Users
{
    public function __construct(private Site $site)
    {
    }

    public function exists(string $uid): bool
    {
        return $this->site->db()->row('SELECT uid FROM *PREFIX*users WHERE uid = ?', [$uid]) !== null;
    }

    public function add(string $uid, string $password, string $name): void
    {
        if (!preg_match('/^[A-Za-z0-9_.@-]{1,64}$/', $uid) || $uid[0] === '.') {
            throw new Failure('Only the following characters are allowed in a login: a-z, A-Z, 0-9 and _.@-');
        }
        $db = $this->site->db();
        $db->run('INSERT INTO *PREFIX*users (uid, displayname, password) VALUES (?, ?, ?)', [$uid, $name, password_hash($password, PASSWORD_BCRYPT, ['cost' => 4])]);
        if (in_array('uid_lower', $db->columns('*PREFIX*users'), true)) {
            $db->run('UPDATE *PREFIX*users SET uid_lower = ? WHERE uid = ?', [strtolower($uid), $uid]);
        }
    }

    /** Removes a user with all files. */
    public function delete(string $uid): void
    {
        $db = $this->site->db();
        $files = new Files($this->site, $uid);
        $db->transaction(function () use ($db, $uid, $files): void {
            $files->forgetAll();
            $db->run('DELETE FROM *PREFIX*preferences WHERE userid = ?', [$uid]);
            $db->run('DELETE FROM *PREFIX*users WHERE uid = ?', [$uid]);
        });
        Store::remove($this->site->dataDir() . '/' . $uid);
    }

    public function check(string $uid, string $password): bool
    {
        $row = $this->site->db()->row('SELECT password FROM *PREFIX*users WHERE uid = ?', [$uid]);
        return $row !== null && password_verify($password, (string)$row['password']);
    }

    /** @return array<string, string> uid to displayed name */
    public function all(): array
    {
        return array_column($this->site->db()->all('SELECT uid, displayname FROM *PREFIX*users ORDER BY uid'), 'displayname', 'uid');
    }
}
