<?php
// Stand-in for tests, not Nextcloud; see README.md.
namespace Standin;

/**
 * config/config.php with its *.config.php. As in Nextcloud it is a PHP file
 * that is included, so opcache may answer with an old one; from 29 on the copy
 * in opcache is checked first. What other files add ends in config.php with
 * the next write. NC_KEY in the environment wins over all of them.
 */
final class Config
{
    private const SPARE_BYTES = 10240;

    /** @var array<string, mixed> */
    private array $values = [];

    public function __construct(private string $dir, private bool $checksOpcache)
    {
        $more = glob($dir . '/*.config.php') ?: [];
        natsort($more);
        foreach (array_merge([$this->file()], $more) as $file) {
            $this->values = array_merge($this->values, $this->read($file));
        }
    }

    public function file(): string
    {
        return $this->dir . '/config.php';
    }

    private function read(string $file): array
    {
        if ($this->checksOpcache && function_exists('opcache_invalidate')) {
            @opcache_invalidate($file, false);
        }
        $lock = is_readable($file) ? @fopen($file, 'r') : false;
        if ($lock === false) {
            return [];
        }
        flock($lock, LOCK_SH);
        $CONFIG = [];
        include $file;
        flock($lock, LOCK_UN);
        fclose($lock);
        return is_array($CONFIG) ? $CONFIG : [];
    }

    public function get(string $key, mixed $default = null): mixed
    {
        $environment = getenv('NC_' . $key);
        return $environment !== false ? $environment : ($this->values[$key] ?? $default);
    }

    public function truth(string $key, bool $default = false): bool
    {
        return (bool)$this->get($key, $default);
    }

    /** What the files say, the environment left out. */
    public function all(): array
    {
        return $this->values;
    }

    /** Writes config.php when a value differs; null removes a key. */
    public function set(array $changes): void
    {
        $values = $this->values;
        foreach ($changes as $key => $value) {
            if ($value === null) {
                unset($values[$key]);
            } else {
                $values[$key] = $value;
            }
        }
        if ($values === $this->values) {
            return;
        }
        if ($this->truth('config_is_read_only')) {
            throw new Failure('Config is set to be read-only via option "config_is_read_only".', 'OCP\HintException');
        }
        $this->write($values);
        $this->values = $values;
    }

    /**
     * In place and under a lock, as Nextcloud does it. Nextcloud empties the
     * file first, so that a kill may leave nothing; here the new text goes over
     * the old in one write, and what is too long is cut off afterwards.
     */
    private function write(array $values): void
    {
        $text = "<?php\n\$CONFIG = " . var_export($values, true) . ";\n";
        $new = !is_file($this->file());
        $h = @fopen($this->file(), $new ? 'x+' : 'r+');
        if ($h === false) {
            throw new Failure('Cannot write into "config" directory!', 'OCP\HintException');
        }
        @chmod($this->file(), 0640);
        $free = @disk_free_space($this->dir);
        if ($free !== false && $free < self::SPARE_BYTES + strlen($text)) {
            throw new Failure($this->file() . ' does not have enough space for writing the config file! Not writing it back to disk.');
        }
        if (!flock($h, LOCK_EX)) {
            throw new Failure('Could not acquire an exclusive lock on the config file ' . $this->file());
        }
        fwrite($h, str_pad($text, (int)fstat($h)['size'], "\n"));
        ftruncate($h, strlen($text));
        fflush($h);
        flock($h, LOCK_UN);
        fclose($h);
        if (function_exists('opcache_invalidate')) {
            @opcache_invalidate($this->file(), true);
        }
    }
}
