# Which system this is and which package tools it has, "name TAB value" lines.
# System paths are below $S: NCFLEET_SYSROOT, set on simulated hosts only.
PATH=${PATH:-/usr/bin:/bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
S=${NCFLEET_SYSROOT:-}
if [ -r "$S/etc/os-release" ]; then
  while IFS= read -r l || [ -n "$l" ]; do
    case $l in
      ID=*) printf 'id\t%s\n' "${l#ID=}" ;;
      ID_LIKE=*) printf 'like\t%s\n' "${l#ID_LIKE=}" ;;
    esac
  done <"$S/etc/os-release"
fi
for t in apt-get dnf yum zypper apk; do
  command -v "$t" >/dev/null 2>&1 && printf 'tool\t%s\n' "$t"
done
echo end
