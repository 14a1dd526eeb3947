# Lets the infrastructure's key in and says what the machine offers. Standard input, one line each: public key, password
# for sudo, new password, new public key; all but the first may be empty.
IFS= read -r key; IFS= read -r current; IFS= read -r wanted; IFS= read -r further
umask 077
mkdir -p "$HOME/.ssh" && touch "$HOME/.ssh/authorized_keys" || { echo "error cannot write $HOME/.ssh"; exit 0; }
for k in "$key" "$further"; do
    [ -n "$k" ] || continue
    grep -qxF -- "$k" "$HOME/.ssh/authorized_keys" || printf '\n%s\n' "$k" >> "$HOME/.ssh/authorized_keys"
done
if [ "$(id -u)" = 0 ]; then
    echo "sudo none"
elif sudo -n true 2> /dev/null; then
    echo "sudo free"
elif [ -n "$current" ] && printf '%s\n' "$current" | sudo -k -S -p '' true 2> /dev/null; then
    echo "sudo password"
else
    echo "sudo denied"
fi
if [ -n "$wanted" ]; then
    line=$(id -un):$wanted
    if [ "$(id -u)" = 0 ]; then printf '%s\n' "$line" | chpasswd
    elif sudo -n true 2> /dev/null; then printf '%s\n' "$line" | sudo -n chpasswd
    else printf '%s\n%s\n' "$current" "$line" | sudo -k -S -p '' chpasswd; fi 2> /dev/null && echo "password changed"
fi
for python in python3 /usr/libexec/platform-python; do
    path=$(command -v "$python" 2> /dev/null) || continue
    echo "python $path"
    break
done
