# Recipes of old call `python`: a link where no such program is. Says "changed" when it did something.
if ! command -v python >/dev/null 2>&1 && [ -x /usr/bin/python3 ] && [ ! -e /usr/bin/python ]; then
    ln -s python3 /usr/bin/python && echo changed
fi
