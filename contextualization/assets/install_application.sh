# Installs the package IM_APPLICATION. Says "changed" when it did something. Needs install_package.sh before it.
case $IM_APPLICATION in
    -* | '' | *[!A-Za-z0-9.+_:@~-]*) echo "'$IM_APPLICATION' is no name of a package" >&2; exit 1 ;;
esac
install_package "$IM_APPLICATION"
