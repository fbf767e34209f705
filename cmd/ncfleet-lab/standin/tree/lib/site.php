<?php
// Stand-in for tests, not Nextcloud; see README.md.
namespace Standin;

/** One installation: its code, its config.php and its database. */
final class Site
{
    public readonly string $root;
    public readonly Config $config;
    /** @var list<int> */
    public readonly array $version;
    public readonly string $versionString;
    /** @var array<string, array<string, bool>> */
    public readonly array $upgradableFrom;
    private ?Database $database = null;

    public function __construct()
    {
        $this->root = dirname(__DIR__);
        $OC_Version = [];
        $OC_VersionString = '';
        $OC_VersionCanBeUpgradedFrom = [];
        require $this->root . '/version.php';
        $this->version = $OC_Version;
        $this->versionString = $OC_VersionString;
        $this->upgradableFrom = $OC_VersionCanBeUpgradedFrom;
        $this->config = new Config($this->root . '/config', $OC_Version[0] >= 29);
    }

    public function major(): int
    {
        return $this->version[0];
    }

    public function codeVersion(): string
    {
        return implode('.', $this->version);
    }

    public function installed(): bool
    {
        return $this->config->truth('installed');
    }

    public function installedVersion(): string
    {
        return (string)$this->config->get('version', '0.0.0');
    }

    public function inMaintenance(): bool
    {
        return $this->config->truth('maintenance');
    }

    public function dataDir(): string
    {
        return rtrim((string)$this->config->get('datadirectory', $this->root . '/data'), '/');
    }

    /** The connection, made when it is first asked for. */
    public function db(): Database
    {
        return $this->database ??= new Database($this->config, $this->dataDir());
    }

    /**
     * Whether code is newer than what config.php says, or an enabled app newer
     * than the database. Code that is older is an error, whatever is asked.
     */
    public function needsUpgrade(): bool
    {
        if (!$this->installed()) {
            return false;
        }
        $order = version_compare($this->codeVersion(), $this->installedVersion());
        if ($order < 0) {
            throw new Failure('[0]: Downgrading is not supported and is likely to cause unpredictable issues (from '
                . $this->installedVersion() . ' to ' . $this->codeVersion() . ')', 'OCP\HintException');
        }
        $apps = new Apps($this);
        return $order > 0 || $apps->pending() !== [];
    }

    public function status(): array
    {
        return [
            'installed' => $this->installed(),
            'version' => $this->codeVersion(),
            'versionstring' => $this->versionString,
            'edition' => '',
            'maintenance' => $this->inMaintenance(),
            'needsDbUpgrade' => $this->needsUpgrade(),
            'productname' => 'Nextcloud',
            'extendedSupport' => false,
        ];
    }
}
