# galaxy DIR TREE: makes DIR/local, a directory of archives; DIR/www, what a static web server needs to be a Galaxy server (v1
# for roles, v3 for collections), a git host and a place of archives; DIR/cert.pem and DIR/key.pem of that server, which is
# https://10.77.0.1:8443. TREE is an unpacked Ansible.
set -e
dir=$1 tree=$2 url=https://10.77.0.1:8443
www=$dir/www
mkdir -p "$dir/local" "$dir/src" "$www/archives" "$www/git"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=lab \
    -addext subjectAltName=IP:10.77.0.1 -keyout "$dir/key.pem" -out "$dir/cert.pem" 2> /dev/null

# role NAME TEXT [TASK]: a role that says TEXT.
role() {
    mkdir -p "$dir/src/$1/tasks" "$dir/src/$1/meta"
    printf -- '- name: Role speaks\n  debug: {msg: "%s"}\n%b' "$2" "${3-}" > "$dir/src/$1/tasks/main.yml"
    printf 'galaxy_info: {author: lab, description: test, license: none, min_ansible_version: "2.9"}\ndependencies: []\n' \
        > "$dir/src/$1/meta/main.yml"
}
pack() { tar -czf "$2" -C "$dir/src" "$1"; }

role local "lab.local 1.9.0"; pack local "$dir/local/lab.local-1.9.0.tar.gz"
role local "lab.local 1.10.0" '- add_host: {name: guest, groups: [guests]}\n'; pack local "$dir/local/lab.local-1.10.0.tar.gz"
role archived "archived 1"; pack archived "$www/archives/archived-1.tar.gz"

role git "git 1.0"
git() { command git -C "$dir/src/git" -c user.name=lab -c user.email=lab@localhost -c init.defaultBranch=main "$@" > /dev/null; }
git init; git add .; git commit -m one; git tag 1.0
role git "git main"; git commit -a -m two
git clone --bare . "$www/git/role-git.git"
command git -C "$www/git/role-git.git" update-server-info

answer() { mkdir -p "$www/api/$1"; cat > "$www/api/$1/index.html"; }
echo '{"available_versions": {"v1": "v1/", "v3": "v3/"}}' | answer .
role served "lab.served 2.0"; pack served "$www/archives/served-2.0.tar.gz"
echo '{"count": 1, "results": [{"id": 7, "name": "served"}]}' | answer v1/roles
echo "{\"results\": [{\"name\": \"2.0\", \"source\": \"$url/archives/served-2.0.tar.gz\"},
    {\"name\": \"3.0\", \"source\": \"$url/archives/none.tar.gz\"}]}" | answer v1/roles/7/versions

mkdir -p "$dir/src/tools/plugins/modules"
printf 'namespace: lab\nname: tools\nversion: 1.2.0\nreadme: README.md\nauthors: [lab]\n' > "$dir/src/tools/galaxy.yml"
echo "# Tools" > "$dir/src/tools/README.md"
cat > "$dir/src/tools/plugins/modules/hello.py" <<'PY'
from ansible.module_utils.basic import AnsibleModule
AnsibleModule(argument_spec={}).exit_json(msg="hello from lab.tools 1.2.0")
PY
PYTHONPATH=$tree ANSIBLE_HOME=$dir/home python3 -m ansible galaxy collection build --output-path "$www/archives" "$dir/src/tools" > /dev/null
hash=$(sha256sum "$www/archives/lab-tools-1.2.0.tar.gz" | cut -d ' ' -f 1)
href=/api/v3/collections/lab/tools
echo '{"namespace": {"name": "lab"}, "name": "tools", "created_at": "2024-01-01", "updated_at": "2024-01-02"}' | answer v3/collections/lab/tools
echo '{"meta": {"count": 2}, "links": {"next": null}, "data": [{"version": "1.2.0"}, {"version": "2.0.0"}]}' | answer v3/collections/lab/tools/versions
echo "{\"href\": \"$href/versions/1.2.0/\", \"namespace\": {\"name\": \"lab\"}, \"collection\": {\"name\": \"tools\"}, \"version\": \"1.2.0\",
    \"download_url\": \"$url/archives/lab-tools-1.2.0.tar.gz\", \"artifact\": {\"sha256\": \"$hash\"},
    \"metadata\": {\"dependencies\": {}}, \"signatures\": []}" | answer v3/collections/lab/tools/versions/1.2.0
