<?php
// Stand-in for tests, not Nextcloud; see README.md.
namespace Standin;

/** An error that is shown under the class name that Nextcloud's has. */
final class Failure extends \Exception
{
    public function __construct(string $message, private string $shownAs = 'Exception', ?\Throwable $previous = null)
    {
        parent::__construct($message, 0, $previous);
    }

    public static function text(\Throwable $e): string
    {
        return ($e instanceof self ? $e->shownAs : get_class($e)) . ': ' . $e->getMessage();
    }

    public static function isLost(\Throwable $e): bool
    {
        return $e instanceof self && str_ends_with($e->shownAs, 'ConnectionLost');
    }
}
