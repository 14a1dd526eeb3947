# Sudo without a terminal: `requiretty` is turned around in sudoers where it stands, if what comes out is valid.
command -v visudo >/dev/null 2>&1 || exit 0
for file in /etc/sudoers /etc/sudoers.d/*; do
    [ -f "$file" ] && grep -Eq '^[[:space:]]*Defaults.*[[:space:],]requiretty' "$file" || continue
    new=$(mktemp "$file.XXXXXX") || exit 1
    cp -p "$file" "$new" && sed 's/^\([[:space:]]*Defaults.*[[:space:],]\)requiretty/\1!requiretty/' "$file" > "$new"
    if visudo -cqf "$new" >/dev/null 2>&1; then
        mv "$new" "$file" && echo changed
    else
        rm -f "$new"
        echo "$file has requiretty, but would not be valid without it" >&2
    fi
done
