<?php
// Stand-in for tests, not Nextcloud; see README.md.
namespace Standin;

/** One occ command: who may run it, which state the site is in, what it is. */
final class Console
{
    /** Options that are followed by a value. */
    private const VALUED = ['database', 'database-name', 'database-host', 'database-port', 'database-user', 'database-pass', 'database-table-space',
        'admin-user', 'admin-pass', 'admin-email', 'data-dir', 'output', 'value', 'type', 'default-value', 'display-name', 'group', 'shipped', 'path'];
    private const BEFORE_INSTALL = ['status', 'check', 'maintenance:install'];

    /** @var array<string, string|true> */
    public array $options = [];
    /** @var list<string> */
    public array $words = [];

    private function __construct(public readonly Site $site)
    {
    }

    public static function main(array $argv): int
    {
        try {
            $site = new Site();
            $refusal = self::refuse($site);
            if ($refusal !== null) {
                return $refusal;
            }
            $console = new self($site);
            $console->parse(array_slice($argv, 1));
            return $console->dispatch();
        } catch (\Throwable $e) {
            echo "An unhandled exception has been thrown:\n", Failure::text($e), ' in ', $e->getFile(), ':', $e->getLine(), "\nStack trace:\n", $e->getTraceAsString(), "\n";
            return 1;
        }
    }

    /** The exit status for a caller who is turned away, or null. */
    private static function refuse(Site $site): ?int
    {
        $file = $site->config->file();
        $owned = file_exists($file) ? $file : dirname($file);
        if (!is_writable($owned) && !$site->config->truth('config_is_read_only')) {
            echo "Cannot write into \"config\" directory!\n\nThis can usually be fixed by giving the web server write access to the config directory.\n";
            return 0;
        }
        $me = posix_geteuid();
        $owner = (int)fileowner($owned);
        if ($me !== $owner) {
            echo "Console has to be executed with the user that owns the file config/config.php\nCurrent user id: $me\nOwner id of config.php: $owner\n",
                "Try adding 'sudo -u #$owner' to the beginning of the command (without the single quotes)\n",
                "If running with 'docker exec' try adding the option '-u $owner' to the docker command (without the single quotes)\n";
            return 1;
        }
        if ($site->config->truth('appstoreenabled', true) && (new Apps($site))->writablePath() === null) {
            echo "Cannot write into \"apps\" directory.\nThis can usually be fixed by giving the web server write access to the apps directory or disabling the App Store in the config file.\n\n",
                "An unhandled exception has been thrown:\nException: Environment not properly prepared.\n";
            return 1;
        }
        return null;
    }

    private function parse(array $args): void
    {
        while ($args !== []) {
            $arg = array_shift($args);
            if ($arg === '--') {
                array_push($this->words, ...$args);
                return;
            }
            if (!str_starts_with($arg, '-') || $arg === '-') {
                $this->words[] = $arg;
                continue;
            }
            [$name, $value] = array_pad(explode('=', ltrim($arg, '-'), 2), 2, null);
            $this->options[$name] = $value ?? (in_array($name, self::VALUED, true) ? (string)array_shift($args) : true);
        }
    }

    private function dispatch(): int
    {
        $name = $this->words === [] ? 'list' : array_shift($this->words);
        if (!$this->site->installed()) {
            $this->complain('Nextcloud is not installed - only a limited number of commands are available');
            return in_array($name, self::BEFORE_INSTALL, true) ? Commands::find($name)($this) : $this->unknown($name);
        }
        $limited = true;
        if ($this->site->needsUpgrade()) {
            $this->complain('Nextcloud or one of the apps require upgrade - only a limited number of commands are available');
            $this->complain('You may use your browser or the occ upgrade command to do the upgrade');
        } elseif ($this->site->inMaintenance()) {
            $this->complain('Nextcloud is in maintenance mode, no apps are loaded.');
            $this->complain('Commands provided by apps are unavailable.');
        } else {
            $limited = false;
        }
        $run = $name === 'maintenance:install' || ($limited && in_array($name, Commands::OF_APPS, true)) ? null : Commands::find($name);
        return $run === null ? $this->unknown($name) : $run($this);
    }

    private function unknown(string $name): int
    {
        $space = strstr($name, ':', true);
        if ($space !== false && !in_array($name, Commands::OF_APPS, true) && Commands::hasNamespace($space)) {
            $space = false;
        }
        echo $space === false ? "\n  Command \"$name\" is not defined.\n\n" : "\n  There are no commands defined in the \"$space\" namespace.\n\n";
        return 1;
    }

    private function complain(string $line): void
    {
        if (!isset($this->options['no-warnings'])) {
            fwrite(STDERR, $line . "\n");
        }
    }

    public function option(string $name, string $default = ''): string
    {
        $value = $this->options[$name] ?? $default;
        return $value === true ? '' : $value;
    }

    public function has(string $name): bool
    {
        return isset($this->options[$name]);
    }

    public function wantsJSON(): bool
    {
        return str_starts_with($this->option('output'), 'json');
    }

    public function json(mixed $value): void
    {
        echo json_encode($value, $this->option('output') === 'json_pretty' ? JSON_PRETTY_PRINT : 0), "\n";
    }

    /** The n-th argument; without it the command cannot run. */
    public function word(int $n, string $name): string
    {
        return $this->words[$n] ?? throw new Failure("Not enough arguments (missing: \"$name\").", 'Symfony\Component\Console\Exception\RuntimeException');
    }
}
