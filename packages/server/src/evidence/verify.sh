#!/bin/sh
# Checks an evidence bundle, in the folder where it was unpacked: sh verify.sh [SHA256:fingerprint]
# Needs sha256sum, ssh-keygen, openssl 3, jq. No network. Exits with 1 at the first thing that is wrong, and names it.
set -eu
LC_ALL=C
export LC_ALL
cd "$(dirname "$0")"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

fail() {
  echo "FAILED: $1" >&2
  exit 1
}
case ${1-SHA256:} in
  SHA256:*) ;;
  *)
    echo 'Usage: sh verify.sh [SHA256:fingerprint]    the key that the manifest has to be signed with; see README.txt' >&2
    exit 2
    ;;
esac
for tool in sha256sum ssh-keygen openssl jq; do
  command -v "$tool" >/dev/null || fail "$tool is not installed"
done
digest() { sha256sum <"$1" | { read -r sum _ && echo "$sum"; }; }
raw() { openssl base64 -d -A; }
url64() { openssl base64 -A | tr '+/' '-_' | tr -d '='; }

# 1. The manifest is signed, and names every file with its digest.
[ -f SHA256SUMS ] && [ -f SHA256SUMS.sig ] && [ -f keys/allowed_signers ] || fail 'the manifest or its keys are missing'
ssh-keygen -Y verify -f keys/allowed_signers -I writ-manifest -n writ-evidence -s SHA256SUMS.sig <SHA256SUMS >"$tmp/said" 2>&1 ||
  fail 'SHA256SUMS: the signature is not valid'
fingerprint=$(grep -o 'SHA256:[A-Za-z0-9+/]*' "$tmp/said" | head -n 1)
[ $# -eq 0 ] || [ "$1" = "$fingerprint" ] || fail "the manifest is signed by $fingerprint, not by $1"
grep -qvE '^[0-9a-f]{64}  [A-Za-z0-9._/-]+$' SHA256SUMS && fail 'SHA256SUMS: not a list of digests'
# No --quiet, no --strict: that of BusyBox has neither, and each line was just read.
sha256sum -c SHA256SUMS >"$tmp/said" 2>&1 || fail "$(grep -v ': OK$' "$tmp/said" | head -n 1)"
cut -c 67- SHA256SUMS | sort >"$tmp/listed"
find . ! -type d | sed 's|^\./||' | grep -vxE 'SHA256SUMS(\.sig)?' | sort >"$tmp/there"
cmp -s "$tmp/listed" "$tmp/there" || fail 'there are files that the manifest does not name'
# Where a system knows no difference between them, one would have replaced the other.
twice=$(tr A-Z a-z <"$tmp/listed" | sort | uniq -d | head -n 1)
[ -z "$twice" ] || fail "SHA256SUMS: $twice is named twice, in capitals and without"
echo "manifest: $(wc -l <"$tmp/listed" | tr -d ' ') files, signed by $fingerprint"

# What is read here is JSON, and bundle.json describes what is here. What was handed in is not looked into.
find bundle.json logs attestations approvals people runs tickets -name '*.json' 2>/dev/null | sort >"$tmp/json"
xargs jq -n 'inputs | empty' <"$tmp/json" >/dev/null 2>&1 || while read -r file; do
  jq -e -n '[inputs] | length == 1' "$file" >/dev/null 2>&1 || fail "$file: not JSON"
done <"$tmp/json"
jq -e '.format == "writ-evidence-bundle" and .version == 1' bundle.json >/dev/null 2>&1 || fail 'bundle.json: not a bundle of version 1'
jq -e 'def count: type == "number" and . >= 0 and . == floor and . <= 9007199254740991; def text: type == "string";
  (.subject | (.type | text) and (.id | text) and (.number | count)) and
  (.logs | type == "array" and all(.[]; .role as $role | ($role == "project" or $role == "instance") and
    (.name | text and test("^\($role)-[0-9]+$")) and (.origin | text) and (.vkeys | type == "array" and all(.[]; text)) and
    (.whole_to == null or (.whole_to | count)))) and
  (.artifacts | type == "array" and all(.[]; (.id | text) and (.number | count) and (.size | count) and
    (.sha256 | text and test("^[0-9a-f]{64}$")) and
    if .path | text then .left_out == null
    else .path == null and (.left_out | . == "deleted" or . == "flagged" or . == "erased" or . == "dropped") end))' bundle.json >/dev/null 2>&1 ||
  fail 'bundle.json: a part of the description is missing, or of another form'
jq -e '([.logs[].name] | length == (unique | length)) and ([.artifacts[].id] | length == (unique | length))' bundle.json >/dev/null ||
  fail 'bundle.json: it describes a log or a file twice'
jq -r '.logs[].name' bundle.json | sort >"$tmp/logs"
for log in logs/*/; do
  [ ! -d "$log" ] || grep -qxF -e "$(basename "$log")" "$tmp/logs" || fail "bundle.json: it does not describe ${log%/}"
done
while read -r log; do
  [ -f "logs/$log/checkpoint" ] || fail "logs/$log/checkpoint: it is not in the bundle"
done <"$tmp/logs"
# Entries may be more than a command takes as its arguments: their names stand in files. $tmp/all has all, $tmp/ours those of the project.
grep -xE 'logs/[^/.][^/]*/entries/[^/.][^/]*\.json' "$tmp/listed" >"$tmp/all" || true
grep '^logs/project-' "$tmp/all" >"$tmp/ours" || true
entries() { xargs cat <"$tmp/ours"; }

# 2. Each log: the signature of its checkpoint, then every entry in it, then what the entry commits to. A hash is known by
# its base64 with _ for /, which can be the name of a file; nodes that several proofs share are computed once.
mkdir "$tmp/raw" "$tmp/nodes"
# What is hashed has to be a file; a few thousand of them are written, hashed at once and written anew, in memory where the system
# has a folder of that kind.
tree=$(mktemp -d /dev/shm/writ.XXXXXX 2>/dev/null) || tree=$(mktemp -d)
trap 'rm -rf "$tmp" "$tree"' EXIT
hashed() { # lines, of which each writes the next file, called by its number $i; leaves their SHA-256 in $tmp/level, 32 bytes each
  split -l 4096 -a 5 - "$tmp/part."
  for part in "$tmp/part."*; do
    [ -s "$part" ] || continue
    (
      cd "$tree" && i=0
      . "$part"
      files=$i i=0
      while [ "$i" -lt "$files" ]; do i=$((i + 1)) && echo "$i"; done >"$tmp/files"
      [ ! -s "$tmp/files" ] || xargs openssl dgst -sha256 -binary <"$tmp/files"
    )
    : >"$part"
  done >"$tmp/level"
}
octal() { od -An -v -to1 | sed 'N;s/\n//;s/ *$//;s/ \{1,\}/\\/g'; } # 32 bytes a line, as printf takes them
hash_in() {
  openssl dgst -sha256 -binary "$tmp/in" >"$tmp/out"
  top=$(openssl base64 -A <"$tmp/out" | tr / _)
  mv "$tmp/out" "$tmp/raw/$top"
}
node() {
  if [ -f "$tmp/nodes/$1$2" ]; then
    read -r top <"$tmp/nodes/$1$2"
  else
    { printf '\001' && cat "$tmp/raw/$1" "$tmp/raw/$2"; } >"$tmp/in"
    hash_in
    echo "$top" >"$tmp/nodes/$1$2"
  fi
}
halve() { own=$((own / 2)) last=$((last / 2)); }
[ -f policy ] || fail 'policy: it is not in the bundle'
# An entry is written in one way (RFC 8785): each field in its place, no other, no other spelling of a text or a number.
del=$(printf '\177')
text='"([^"\\[:cntrl:]]|'$del'|\\["\\bfnrt]|\\u00(0[0-7be]|0f|1[0-9a-f]))+"' number='(0|[1-9][0-9]{0,15})'
uuid='[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}'
field='"(act|actor|att|ckpt|claim|id|pl|res|run|seq|t|v)"' att='"sha256:[0-9a-f]{64}"'
payload="\\{\"c\":\"hmac-sha256:[0-9a-f]{64}\",\"len\":$number,\"n\":$text\\}"
canonical="\\{\"act\":\"[a-z][a-z0-9_]*(\\.[a-z0-9_]+)*\",\"actor\":\\{\"id\":$text,\"kind\":\"(user|agent|system|token)\"\\}(,\"att\":\\[$att(,$att)*\\])?\
(,\"ckpt\":\"[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=\")?(,\"claim\":\\[$field(,$field)*\\])?,\"id\":\"$uuid\",\"pl\":\\[($payload(,$payload)*)?\\](,\"res\":$text)?\
(,\"run\":$text)?,\"seq\":$number,\"t\":\"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z\",\"v\":1\\}"
# What is the same for all entries of a log is looked at for all together: starting a program for each takes minutes. This only ever finds
# that something is as it should be; whatever it does not find so is looked at alone, which then says what is wrong with it.
included() { # whether each entry of $tmp/some has its proof, and all of them together lead to the root
  sed 's/json$/tlog-proof/' "$tmp/some" >"$tmp/proofs"
  xargs grep -aH '' <"$tmp/proofs" >"$tmp/lines" 2>/dev/null || return 1
  # Each line ends as one, and is to the byte one of a proof or of the checkpoint.
  [ "$(xargs cat <"$tmp/proofs" | wc -l)" -eq "$(wc -l <"$tmp/lines")" ] || return 1
  sed 's/^[^:]*://' "$tmp/lines" | grep -avxE 'c2sp\.org/tlog-proof@v1|index [0-9]+|[A-Za-z0-9+/]{43}=' >"$tmp/others" || true
  ! grep -qavxF -f "${log}checkpoint" "$tmp/others" || return 1
  # What the proofs say of nodes: level, place from the left, hash. All have to say the same.
  jq -nRr --argjson size "$size" --arg checkpoint "$(cat "${log}checkpoint")" '
    def said: if .path | test("/(0|[1-9][0-9]{0,14})\\.tlog-proof$") | not then error("not its name") else . end |
      (.path | capture("/(?<index>[0-9]+)\\.tlog-proof$").index) as $index | ($index | tonumber) as $own | (.lines | index("")) as $blank |
      if .lines[:2] != ["c2sp.org/tlog-proof@v1", "index \($index)"] or $blank == null or $own >= $size or
        (.lines[$blank + 1:] | join("\n")) != $checkpoint then error("not its proof") else .lines[2:$blank] end | . as $hashes |
      {level: 0, own: $own, last: ($size - 1), at: 0, out: []} |
      until(.last == 0; (if .own % 2 == 1 then .own - 1 elif .own < .last then .own + 1 else null end) as $beside |
        (if $beside == null then . else .out += ["\(.level) \($beside) \($hashes[.at])"] | .at += 1 end) |
        .level += 1 | .own = (.own / 2 | floor) | .last = (.last / 2 | floor)) |
      if .at != ($hashes | length) then error("of another length") else "a proof", .out[] end;
    foreach (inputs, null) as $line ({path: null, lines: [], done: null};
      if $line == null then .done = {path, lines} else
        ($line | index(":")) as $colon | $line[:$colon] as $path | $line[$colon + 1:] as $text |
        if $path == .path then .lines += [$text] | .done = null
        else .done = {path, lines} | .path = $path | .lines = [$text] end end;
      .done | select(. != null and .path != null) | said)' "$tmp/lines" >"$tmp/said" 2>/dev/null || return 1
  [ "$(grep -cx 'a proof' "$tmp/said")" -eq "$(wc -l <"$tmp/some")" ] || return 1
  grep -vx 'a proof' "$tmp/said" | sort -u >"$tmp/told" || true
  [ -z "$(cut -d ' ' -f 1,2 "$tmp/told" | uniq -d | head -n 1)" ] || return 1
  octets='if test("^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$") | not then error("not a hash") else . end |
    def value: if . >= 97 then . - 71 elif . >= 65 then . - 65 elif . >= 48 then . + 4 elif . == 43 then 62 elif . == 47 then 63 else 0 end;
    def byte: "\\\(. / 64 | floor)\(. / 8 | floor | . % 8)\(. % 8)";
    explode | map(value) | [range(0; 44; 4) as $i | .[$i] * 262144 + .[$i + 1] * 4096 + .[$i + 2] * 64 + .[$i + 3] |
      (. / 65536 | floor), (. / 256 | floor | . % 256), . % 256] | .[:32] | map(byte) | add'
  # In one program: after an error in one of several inputs jq goes on with the next, and only the last counts.
  jq -nRr "inputs | split(\" \") as [\$level, \$place, \$hash] | \$hash | ($octets) | \"\\(\$level) \\(\$place) \\(.)\"" "$tmp/told" >"$tmp/nodes_said" 2>/dev/null ||
    return 1
  xargs grep -ah '' <"$tmp/some" | leaves
  sed 's|.*/||;s|\.json$||' "$tmp/some" >"$tmp/places"
  climb && [ "$(openssl base64 -A <"$tmp/level")" = "$(sed -n 3p "${log}checkpoint")" ]
}
leaves() { sed "s/'/'\\\\''/g;s/.*/printf '\\\\000%s' '&' >\$((i+=1))/" | hashed; } # lines, each an entry; leaves their hashes in $tmp/level
# From the hashes of leaves in $tmp/level, at $tmp/places, and of nodes in $tmp/nodes_said to the root; whether that is a tree. Where
# nothing is said of nodes, all leaves are here, and where they stand need not be.
climb() {
  level=0 last=$((size - 1))
  while octal <"$tmp/level" | paste -d ' ' "$tmp/places" - >"$tmp/known" && [ "$last" -gt 0 ]; do
    if [ -s "$tmp/nodes_said" ]; then
      sed -n "s/^$level //p" "$tmp/nodes_said" >"$tmp/beside"
      # A node that was computed and that a proof tells of is the same; each has its neighbour, but for the last of an odd number.
      cat "$tmp/known" "$tmp/beside" | sort -u | jq -nRr --argjson last "$last" '[inputs | split(" ") | {place: (.[0] | tonumber), hash: .[1]}] |
        group_by(.place / 2 | floor)[] | (.[0].place / 2 | floor) as $above |
        if map(.place) == [2 * $above, 2 * $above + 1] then "\($above) \(.[0].hash)\(.[1].hash)"
        elif map(.place) == [$last] and $last % 2 == 0 then "\($above) \(.[0].hash)" else error("not a tree") end' >"$tmp/above" 2>/dev/null || return 1
      cut -d ' ' -f 1 "$tmp/above" >"$tmp/places"
      cut -d ' ' -f 2 "$tmp/above" >"$tmp/below"
    else
      cut -d ' ' -f 2 "$tmp/known" | sed '$!N;s/\n//' >"$tmp/below"
    fi
    # The last of an odd number goes up as it is, and is the last line.
    alone=$(tail -n 1 "$tmp/below")
    if [ ${#alone} -eq 128 ]; then sed '$d' "$tmp/below"; else alone= && cat "$tmp/below"; fi | sed "s/.*/printf '\\\\001&' >\$((i+=1))/" | hashed
    # shellcheck disable=SC2059
    [ ${#alone} -ne 128 ] || printf "$alone" >>"$tmp/level"
    level=$((level + 1)) last=$((last / 2))
  done
}
committed() { # of $tmp/entries those with payload and salt, of which the commitment was made; in $tmp/sure
  cut -d ' ' -f 1 "$tmp/entries" | sed 's|/entries/\([0-9]*\)\.json$|/payloads/\1|' >"$tmp/bases"
  find "$log" -path "${log}payloads/*" -type f | sort >"$tmp/have"
  # In one line without control characters, as the log writes them, and exactly one salt.
  sed 's/$/.json/' "$tmp/bases" | cat - "$tmp/have" | sort | uniq -d >"$tmp/jsons"
  : >"$tmp/plain"
  [ ! -s "$tmp/jsons" ] || xargs grep -laxE -e "([^[:cntrl:]]|$del)+" <"$tmp/jsons" >"$tmp/plain" || true
  [ ! -s "$tmp/plain" ] || [ "$(xargs cat <"$tmp/plain" | wc -l)" -eq 0 ] || : >"$tmp/plain"
  : >"$tmp/salted"
  find "$log" -path "${log}payloads/*.salt" -type f -size 65c >"$tmp/salts"
  [ ! -s "$tmp/salts" ] || xargs grep -lxE '[0-9a-f]{64}' <"$tmp/salts" >"$tmp/salted" || true
  grep '\.erased$' "$tmp/have" >"$tmp/gone" || true
  { sed 's/\.json$//' "$tmp/plain" && sed 's/\.salt$//' "$tmp/salted"; } | sort | uniq -d >"$tmp/both"
  { cat "$tmp/both" && sed 's/\.erased$//;p' "$tmp/gone"; } | sort | uniq -u >"$tmp/bases"
  : >"$tmp/sure"
  [ -s "$tmp/bases" ] || return 0
  sed 's/$/.salt/' "$tmp/bases" | xargs cat | jq -nRr '
    def nibble: if . >= 97 then . - 87 else . - 48 end;
    def with($other): [., $other] | [(.[0] / 8 | floor) % 2, (.[0] / 4 | floor) % 2, (.[0] / 2 | floor) % 2, .[0] % 2] as $a |
      [(.[1] / 8 | floor) % 2, (.[1] / 4 | floor) % 2, (.[1] / 2 | floor) % 2, .[1] % 2] as $b |
      reduce range(4) as $i (0; . * 2 + (if $a[$i] == $b[$i] then 0 else 1 end));
    def byte: "\\\(. / 64 | floor)\(. / 8 | floor | . % 8)\(. % 8)";
    def table($high; $low): [range(256) | ((. / 16 | floor | with($high)) * 16 + (. % 16 | with($low))) | byte];
    table(3; 6) as $inner | table(5; 12) as $outer | ([range(32) | "\\066"] | add) as $in | ([range(32) | "\\134"] | add) as $out |
    inputs | (explode | map(nibble) | [range(0; 64; 2) as $i | .[$i] * 16 + .[$i + 1]]) as $salt |
    "\([$salt[] | $inner[.]] | add)\($in) \([$salt[] | $outer[.]] | add)\($out)"' >"$tmp/pads" 2>/dev/null
  sed 's/$/.json/' "$tmp/bases" | xargs grep -ah '' >"$tmp/said" || true
  [ "$(wc -l <"$tmp/pads")" -eq "$(wc -l <"$tmp/bases")" ] && [ "$(wc -l <"$tmp/said")" -eq "$(wc -l <"$tmp/bases")" ] || return 0
  cut -d ' ' -f 1 "$tmp/pads" | paste -d ' ' - "$tmp/said" |
    sed "s/'/'\\\\''/g;s/^\([^ ]*\) \(.*\)/printf '\1%s' '\2' >\$((i+=1))/" | hashed
  octal <"$tmp/level" >"$tmp/below"
  cut -d ' ' -f 2 "$tmp/pads" | paste -d ' ' - "$tmp/below" | tr -d ' ' | sed "s/.*/printf '&' >\$((i+=1))/" | hashed
  od -An -v -tx1 "$tmp/level" | sed 'N;s/[ \n]//g' >"$tmp/macs"
  sed 's|/payloads/|/entries/|;s/$/.json/' "$tmp/bases" | paste -d ' ' - "$tmp/macs" | sed 's/ / hmac-sha256:/' >"$tmp/made"
  cut -d ' ' -f 1,3 "$tmp/entries" | cat - "$tmp/made" | sort | uniq -d | cut -d ' ' -f 1 >"$tmp/sure"
}
proven() { # whether the proof of $entry leads from it to the root
  proof=${entry%json}tlog-proof
  [ -f "$proof" ] || fail "$proof: it is not in the bundle"
  { read -r head && read -r place; } <"$proof" || fail "$proof: not a proof"
  [ "$head" = 'c2sp.org/tlog-proof@v1' ] && [ "$place" = "index $index" ] || fail "$proof: not a proof of entry $index"
  sed '1,/^$/d' "$proof" | cmp -s - "${log}checkpoint" || fail "$proof: for another checkpoint"
  sed '1,2d;/^$/,$d' "$proof" | tr / _ >"$tmp/hashes"
  # One hash has one spelling, of which the last letter has no bits to spare.
  ! grep -qvxE '[A-Za-z0-9+_]{42}[AEIMQUYcgkosw048]=' "$tmp/hashes" || fail "$proof: not a proof"
  { printf '\000' && cat "$entry"; } >"$tmp/in"
  hash_in
  own=$index last=$((size - 1))
  [ "$own" -le "$last" ] || fail "$proof: beyond the checkpoint"
  while read -r hash; do
    [ "$last" -gt 0 ] || fail "$proof: too many hashes"
    [ -f "$tmp/raw/$hash" ] || printf %s "$hash" | tr _ / | raw >"$tmp/raw/$hash"
    if [ $((own % 2)) -eq 1 ] || [ "$own" -eq "$last" ]; then
      node "$hash" "$top"
      while [ $((own % 2)) -eq 0 ] && [ "$own" -ne 0 ]; do halve; done
    else
      node "$top" "$hash"
    fi
    halve
  done <"$tmp/hashes"
  [ "$last" -eq 0 ] && [ "$top" = "$root" ] || fail "$entry: not in the log"
}
sift() { # each entry of $tmp/each is in the log. Where not all are together, halves lead to the first that is not, which is looked at alone
  from=1 all=$(($(wc -l <"$tmp/each"))) single=0
  while [ "$from" -le "$all" ]; do
    # What holds alone and not together will not be the only one: after some of that kind there is no use in looking for more.
    low=$from high=$from
    if [ "$single" -lt 8 ]; then
      sed -n "$from,$all p" "$tmp/each" >"$tmp/some"
      ! included || return 0
      high=$all
    fi
    while [ "$low" -lt "$high" ]; do
      middle=$(((low + high) / 2))
      sed -n "$low,$middle p" "$tmp/each" >"$tmp/some"
      if included; then low=$((middle + 1)); else high=$middle; fi
    done
    entry=$(sed -n "$low p" "$tmp/each")
    index=${entry##*/} index=${index%.json}
    proven
    from=$((low + 1)) single=$((single + 1))
  done
}
for log in logs/*/; do
  [ -f "${log}log.pem" ] || fail "${log}log.pem: it is not in the bundle"
  sed '/^$/,$d' "${log}checkpoint" >"$tmp/text"
  { read -r origin && read -r size && read -r root; } <"$tmp/text" || fail "${log}checkpoint: not a checkpoint"
  jq -e --arg name "$(basename "$log")" --arg origin "$origin" 'any(.logs[]; .name == $name and .origin == $origin)' bundle.json >/dev/null ||
    fail "${log}checkpoint: it is not of the log that bundle.json names"
  openssl pkey -pubin -in "${log}log.pem" -outform DER 2>/dev/null | tail -c 32 | openssl base64 -A >"$tmp/key"
  good= named=
  # The very name: as a pattern it would be that of others too.
  while read -r word vkey url; do
    [ "$word" = log ] && [ "${vkey%%+*}" = "$origin" ] || continue
    named=1
    printf %s "${vkey#*+*+}" | raw | tail -c 32 | openssl base64 -A | cmp -s - "$tmp/key" && good=1
  done <policy
  [ -n "$named" ] || fail "policy: it names no key of $origin"
  [ -n "$good" ] || fail "${log}log.pem: not a key of $origin in policy"
  good=
  sed '1,/^$/d' "${log}checkpoint" >"$tmp/signatures"
  while read -r dash name signature; do
    [ "$dash" = '—' ] && [ "$name" = "$origin" ] || continue
    printf %s "$signature" | raw | tail -c +5 >"$tmp/sig"
    openssl pkeyutl -verify -pubin -inkey "${log}log.pem" -rawin -in "$tmp/text" -sigfile "$tmp/sig" >/dev/null 2>&1 && good=1
  done <"$tmp/signatures"
  [ -n "$good" ] || fail "${log}checkpoint: the signature is not valid"
  root=$(printf %s "$root" | tr / _)

  # Of a log that was opened since, none may be about what is here: with the whole log it is here to show that.
  find "${log}" -path "${log}entries/*.json" | sort >"$tmp/each"
  : >"$tmp/bad"
  [ ! -s "$tmp/each" ] || xargs grep -LaxE -e "$canonical" <"$tmp/each" >"$tmp/bad" || true
  # Without a line's end, and of at most 4096 bytes.
  find "${log}" -path "${log}entries/*.json" -size +4096c >>"$tmp/bad"
  [ ! -s "$tmp/each" ] || [ "$(xargs cat <"$tmp/each" | wc -l)" -eq 0 ] || while read -r entry; do
    [ "$(wc -l <"$entry")" -eq 0 ] || echo "$entry"
  done <"$tmp/each" >>"$tmp/bad"
  [ ! -s "$tmp/bad" ] || fail "$(head -n 1 "$tmp/bad"): not an entry as the log writes it"
  : >"$tmp/entries"
  [ ! -s "$tmp/each" ] ||
    xargs jq -r '"\(input_filename) \(.id) \(.pl[] | select(.n == "event") | .c)"' <"$tmp/each" >"$tmp/entries"
  sift
  cut -d ' ' -f 1 "$tmp/entries" >"$tmp/unsure"
  count=$(($(wc -l <"$tmp/entries")))
  if cmp -s "$tmp/unsure" "$tmp/each"; then
    committed
    sed p "$tmp/sure" | cat - "$tmp/each" | sort | uniq -u >"$tmp/unsure"
    grep -F -f "$tmp/unsure" "$tmp/entries" >"$tmp/left" || true
  else
    cp "$tmp/entries" "$tmp/left"
  fi
  while read -r entry id commitment; do
    index=${entry##*/} index=${index%.json}
    payload=${log}payloads/$index
    if [ -f "$payload.erased" ]; then
      [ ! -e "$payload.json" ] && [ ! -e "$payload.salt" ] || fail "$payload.json: it is called erased"
      see=$(sed -n 's|^erased, see \([a-z0-9/-]*[0-9]\)$|\1|p' "$payload.erased")
      case $see in
      */*) told=logs/${see%/*}/entries/${see#*/}.json ;;
      *) told=${log}entries/$see.json ;;
      esac
      jq -e --arg id "$id" '.act == "payload.erased" and .res == $id' "$told" >/dev/null 2>&1 ||
        fail "$payload.erased: no entry tells of the erasure"
      echo "entry $index of $origin: payload erased, see $see"
    else
      [ -f "$payload.json" ] && [ -f "$payload.salt" ] || fail "$payload: payload or salt is missing"
      grep -qxE '[0-9a-f]{64}' "$payload.salt" || fail "$payload.salt: not 32 bytes in hexadecimal"
      read -r salt <"$payload.salt"
      mac=$(openssl dgst -sha256 -mac HMAC -macopt "hexkey:$salt" "$payload.json")
      [ "hmac-sha256:${mac##* }" = "$commitment" ] || fail "$payload.json: not what entry $index commits to"
    fi
  done <"$tmp/left"
  [ "$count" -eq "$(wc -l <"$tmp/each")" ] || fail "${log}entries: not every entry commits to an event"
  find "${log}entries" "${log}payloads" -type f ! -path "${log}entries/*.json" 2>/dev/null | sort >"$tmp/strays"
  while read -r file; do
    index=${file##*/} index=${index%.*}
    [ -f "${log}entries/$index.json" ] || fail "$file: no entry that is here has it"
  done <"$tmp/strays"
  echo "log $origin: checkpoint of $size entries, $count of them here"
done

# Proofs of consistency lead from what witnesses cosigned, or from what the instance's log recorded, to the checkpoint that is here.
# This script does not follow them; it says which nothing needs.
: >"$tmp/needed"
grep '^logs/instance-' "$tmp/all" | xargs grep -l '^{"act":"project.checkpoint",' >"$tmp/recorded" || true
for log in logs/*/; do
  { read -r origin && read -r size; } <"${log}checkpoint"
  [ ! -f "${log}checkpoint.cosigned" ] || sed -n 2p "${log}checkpoint.cosigned" | sed "s|.*|${log}consistency/&-$size.txt|" >>"$tmp/needed"
  while read -r entry; do
    payload=${entry%/entries/*}/payloads/${entry##*/}
    [ ! -f "$payload" ] || jq -r --arg origin "$origin" --arg log "$log" --arg size "$size" \
      '.details | select(.origin == $origin) | "\($log)consistency/\(.size)-\($size).txt"' "$payload" >>"$tmp/needed"
  done <"$tmp/recorded"
done
find logs -path '*/consistency/*' -type f | sort >"$tmp/strays"
while read -r file; do
  grep -qxF -e "$file" "$tmp/needed" || fail "$file: nothing here needs it"
done <"$tmp/strays"

# 3. Attestations: signed by a key of keys/, and named by an entry.
xargs cat <"$tmp/all" | jq -r '.att // [] | .[]' | sort -u >"$tmp/named"
for key in keys/attestation-*.pem; do
  [ -e "$key" ] || continue
  openssl pkey -pubin -in "$key" -outform DER >"$tmp/key" 2>/dev/null || fail "$key: not a key"
  [ "$key" = "keys/attestation-$(digest "$tmp/key").pem" ] || fail "$key: its name is that of another key"
done
: >"$tmp/signed_by"
count=0
envelope() { # its file; leaves what was signed in the file that is named second
  # The last line is what was signed, of any length; before it its type, and signatures after their number.
  jq -r 'def line: strings | select(contains("\n") | not); [(.payload, .payloadType) | line] as $of | [.signatures | arrays | .[] | objects | .sig | line] as $signed |
    if ($of | length) != 2 or $signed == [] then error("no envelope") else $of[1], ($signed | length), $signed[], $of[0] end' "$1" >"$tmp/said" 2>/dev/null ||
    fail "$1: no envelope"
  tail -n 1 "$tmp/said" | raw >"$2"
  {
    IFS= read -r type && read -r signatures
    { printf 'DSSEv1 %d %s %d ' "${#type}" "$type" "$(wc -c <"$2")" && cat "$2"; } >"$tmp/pae"
    while [ "$signatures" -gt 0 ] && read -r signature; do
      signatures=$((signatures - 1))
      printf %s "$signature" | raw >"$tmp/sig"
      for key in keys/attestation-*.pem; do
        openssl dgst -sha256 -verify "$key" -signature "$tmp/sig" "$tmp/pae" >/dev/null 2>&1 && echo "$key" >>"$tmp/signed_by" && return 0
      done
    done
  } <"$tmp/said"
  fail "$1: the signature is not valid"
}
for envelope in attestations/*; do
  [ -e "$envelope" ] || continue
  name=${envelope#attestations/} name=${name%.dsse.json}
  case $name in
  *[!0-9a-f]*) good= ;;
  *) [ ${#name} -eq 64 ] && [ "$envelope" = "attestations/$name.dsse.json" ] && good=1 || good= ;;
  esac
  [ -n "$good" ] || fail "$envelope: no name of an attestation"
  envelope "$envelope" "$tmp/$name.statement"
  [ "$(digest "$tmp/$name.statement")" = "$name" ] || fail "$envelope: not the payload that its name says"
  grep -qx "sha256:$name" "$tmp/named" || fail "$envelope: no entry of the log names it"
  count=$((count + 1))
done
while read -r one; do
  [ -f "$tmp/${one#sha256:}.statement" ] || fail "the attestation $one is missing"
done <"$tmp/named"
statements() { # what the filter says of all that was attested
  (cd "$tmp" && find . -name '*.statement' | sort | xargs jq -r "$1")
}
echo "attestations: $count"

# 4. What people signed: approvals, and the statements with which they proposed their keys.
signed() { # folder, id of the key, namespace
  key=people/$2
  [ -f "$1/statement.json" ] || fail "$1/statement.json: it is not in the bundle"
  [ -f "$key/key.json" ] || fail "$key/key.json: it is not in the bundle"
  [ -f "$key/key.pem" ] || fail "$key/key.pem: it is not in the bundle"
  jq -r --arg id "$2" 'def line: strings | select(contains("\n") | not);
    if .id == $id and (.type == "ssh" or .type == "passkey") and ([.user_id | line] | length == 1) then . else error("not a key") end |
    .type, .user_id, ((.algorithm, .rp_id) | [line, ""][0])' "$key/key.json" >"$tmp/said" 2>/dev/null || fail "$key/key.json: not a key"
  { IFS= read -r kind && IFS= read -r owner && IFS= read -r algorithm && IFS= read -r site; } <"$tmp/said"
  printf '%s\n' "$key/key.json" "$key/key.pem" "$1/statement.json" >>"$tmp/bound"
  if [ "$kind" = ssh ]; then
    printf '%s\n' "$key/key.pub" "$1/statement.json.sig"
  else
    printf '%s\n' "$1/clientData.json" "$1/authData.bin" "$1/sig.der"
  fi >>"$tmp/bound"
  if [ ! -f "$tmp/$(digest "$1/statement.json").statement" ]; then
    [ "$3" = writ-signing-key ] && dropped && return 0
    fail "$1/statement.json: not what was attested"
  fi
  jq -e --arg folder "$1" --arg owner "$owner" '.predicate as $of | if $folder | startswith("approvals/")
    then $folder == "approvals/\($of.approvalId)" and $of.approver == $owner
    else $folder == "people/\(.subject[0].name | ltrimstr("signing_key:"))" and $of.owner == $owner end' "$1/statement.json" >/dev/null ||
    fail "$1/statement.json: of another key, person or approval"
  pem=$(openssl pkey -pubin -in "$key/key.pem" -outform DER 2>/dev/null | sha256sum | cut -d ' ' -f 1)
  if [ "$kind" = ssh ]; then
    echo "person $(cat "$key/key.pub")" >"$tmp/signers"
    ssh-keygen -Y verify -f "$tmp/signers" -I person -n "$3" -s "$1/statement.json.sig" <"$1/statement.json" >/dev/null 2>&1 ||
      fail "$1: the signature is not valid"
    fact=fingerprint value=$(ssh-keygen -l -f "$key/key.pub" | cut -d ' ' -f 2)
  else
    [ "$(jq -r .type "$1/clientData.json")" = webauthn.get ] || fail "$1/clientData.json: not an assertion"
    [ "$(openssl dgst -sha256 -binary "$1/statement.json" | url64)" = "$(jq -r .challenge "$1/clientData.json")" ] ||
      fail "$1/clientData.json: another statement was signed"
    [ "$(printf %s "$site" | openssl dgst -sha256 -binary | openssl base64 -A)" = \
      "$(head -c 32 "$1/authData.bin" | openssl base64 -A)" ] || fail "$1/authData.bin: made for another site"
    flags=$(tail -c +33 "$1/authData.bin" | head -c 1 | od -An -tu1 | tr -d ' ')
    [ $((flags & 5)) -eq 5 ] || fail "$1/authData.bin: the user was not verified"
    { cat "$1/authData.bin" && openssl dgst -sha256 -binary "$1/clientData.json"; } >"$tmp/assertion"
    if [ "$algorithm" = ed25519 ]; then
      openssl pkeyutl -verify -pubin -inkey "$key/key.pem" -rawin -in "$tmp/assertion" -sigfile "$1/sig.der" >/dev/null 2>&1
    else
      openssl dgst -sha256 -verify "$key/key.pem" -signature "$1/sig.der" "$tmp/assertion" >/dev/null 2>&1
    fi || fail "$1: the signature is not valid"
    fact=public_key_sha256 value=$pem
  fi
  enrolled "$2" && return 0
  dropped || fail "$key: the log does not say that this key was enrolled"
  echo "$key: enrolled in a log that was dropped; nothing here shows whose key it is: compare $value"
}
told() { # the entries of this type in logs of the project; how each of them begins was looked at above
  xargs grep -l "^{\"act\":\"$1\"," <"$tmp/ours" || true
}
told log.dropped >"$tmp/drops"
dropped() { [ -s "$tmp/drops" ]; } # whether a log of the project tells that logs before it were dropped
enrolled() { # id of the key; $fact and $value are what the log has to say of it
  for entry in $(told signing_key.enrolled); do
    jq -e --arg id "$1" '.act == "signing_key.enrolled" and .res == $id' "$entry" >/dev/null || continue
    payload=${entry%/entries/*}/payloads/$(basename "$entry" json)
    if [ -f "${payload}erased" ]; then
      echo "$key: enrolled; what the log said of it was erased"
      return 0
    fi
    # The files key.pem and key.pub are two spellings of one key, whose owner the log names.
    jq -e --arg fact "$fact" --arg value "$value" --arg pem "$pem" --arg owner "$owner" \
      '.details[$fact] == $value and .details.public_key_sha256 == $pem and .details.user_id == $owner' "${payload}json" >/dev/null && return 0
  done
  return 1
}
before() { # whether the first of two entries came first: within a log by their order, for clocks are set back; between logs by their times
  if [ "${1%/*}" = "${2%/*}" ]; then
    [ "$(basename "$1" .json)" -lt "$(basename "$2" .json)" ]
  else
    jq -e -s '.[0].t <= .[1].t' "$1" "$2" >/dev/null
  fi
}
revoked() { # id of the key, what it signed: whether the log says so before the entry that names what was signed
  for told in $(told signing_key.revoked); do
    jq -e --arg id "$1" '.act == "signing_key.revoked" and .res == $id' "$told" >/dev/null || continue
    for use in $(xargs grep -lF -e "sha256:$2" <"$tmp/ours"); do
      jq -e --arg att "sha256:$2" '(.att // []) | index($att)' "$use" >/dev/null || continue
      ! before "$told" "$use" || return 0
    done
  done
  return 1
}
count=0
: >"$tmp/bound"
for folder in approvals/*/; do
  [ -d "$folder" ] || continue
  folder=${folder%/}
  [ -f "$folder/approval.json" ] || fail "$folder/approval.json: it is not in the bundle"
  id=$(jq -r '.key_id | strings' "$folder/approval.json")
  [ -n "$id" ] || fail "$folder/approval.json: it names no key"
  ! revoked "$id" "$(digest "$folder/statement.json")" || fail "people/$id: it was revoked before it signed"
  echo "$folder/approval.json" >>"$tmp/bound"
  signed "$folder" "$id" writ-approval
  signed "people/$id" "$id" writ-signing-key
  count=$((count + 1))
done
statements 'select(.predicateType == "urn:writ:attestation:approval:v1" and .predicate.signBefore != null) | .predicate.approvalId' >"$tmp/approved" 2>/dev/null ||
  fail 'attestations: what one of them states is no statement'
while read -r id; do
  [ -d "approvals/$id" ] || fail "approvals/$id: the person's signature is not here"
done <"$tmp/approved"
find approvals people -type f 2>/dev/null | sort | grep -xE '(people/[^/]+/key\.(json|pem|pub)|(approvals|people)/[^/]+/(approval\.json|statement\.json(\.sig)?|clientData\.json|authData\.bin|sig\.der))' >"$tmp/strays" || true
file=$(sort -u "$tmp/bound" | comm -23 "$tmp/strays" - | head -n 1)
[ -z "$file" ] || fail "$file: no approval that is here needs it"
echo "approvals signed by people: $count"

# 5. The events of a run are numbered: of those between the first and the last that are here, none was left out.
entries | jq -rs '[.[] | select(.run)] | group_by(.run)[] | (map(.seq) | sort) as $seen |
  if $seen != [range($seen[0]; $seen[0] + ($seen | length))] then "gap \(.[0].run)"
  elif $seen[0] > 0 then "late \(.[0].run)" else empty end' >"$tmp/runs"
while read -r kind run; do
  [ "$kind" = late ] && dropped || fail "run $run: an entry of it was left out"
  echo "run $run: it begins in a log that was dropped"
done <"$tmp/runs"

# What the bundle says that it is about is what the entries tell of.
id=$(jq -r .subject.id bundle.json)
entries | jq -e -s --arg id "$id" 'any(.res == $id or .run == $id)' >/dev/null || dropped ||
  fail "bundle.json: no entry tells of its subject $id"
type=$(entries | jq -rs --arg id "$id" '[.[] | select(.res == $id) | .act |
  if startswith("ticket.") then "ticket" elif startswith("run.") or startswith("task.") then "run" else empty end] | first // empty')
[ -z "$type" ] || [ "$type" = "$(jq -r .subject.type bundle.json)" ] || fail "bundle.json: its subject $id is a $type to an entry"
said() { # file of lines that begin with an entry, filter; leaves [entry, what its payload says] in $tmp/said, where there is one
  cut -d ' ' -f 1 "$1" | sed 's|/entries/|/payloads/|' | sort -u | cat - "$tmp/listed" | sort | uniq -d >"$tmp/with"
  [ ! -s "$tmp/with" ] || xargs jq -c "[(input_filename | sub(\"/payloads/\"; \"/entries/\")), (($2) // null)]" <"$tmp/with" >"$tmp/said"
  [ -s "$tmp/with" ] || : >"$tmp/said"
}
by_entry='(reduce $said[] as [$entry, $of] ({}; .[$entry] = $of)) as $said |'
# So are the numbers of it and of its files, where an entry says them.
jq -r '(.subject, .artifacts[]) | "\(.id) \(.number)"' bundle.json >"$tmp/numbers"
xargs jq -r 'select(.act | test("^(evidence.exported|artifact.uploaded|run.created|ticket.(submitted|approved|rejected|closed|reopened))$")) |
  "\(input_filename) \(.res)"' <"$tmp/ours" >"$tmp/numbered"
said "$tmp/numbered" '.details | objects | .number'
jq -Rr --slurpfile bundle bundle.json --slurpfile said "$tmp/said" "$by_entry"' ([$bundle[0] | .subject, .artifacts[]] |
    map({key: .id, value: .number}) | from_entries) as $numbers | split(" ") as [$entry, $id] |
  select($numbers[$id] != null and $said[$entry] != null and $said[$entry] != $numbers[$id])' "$tmp/numbered" >"$tmp/left"
while read -r entry id; do
  payload=${entry%/entries/*}/payloads/${entry##*/}
  number=$(grep -F -e "$id " "$tmp/numbers" | cut -d ' ' -f 2)
  [ -f "$payload" ] && [ -n "$number" ] || continue
  jq -e --arg number "$number" '.details.number == null or (.details.number | tostring) == $number' "$payload" >/dev/null ||
    fail "bundle.json: $entry says another number of $id than $number"
done <"$tmp/left"

# Each edit of a ticket makes its next version, and what is approved is the newest.
xargs jq -r 'select(.act | test("^ticket\\.(created|updated|approved)$")) | "\(input_filename) \(.act) \(.res)"' <"$tmp/ours" |
  sort -t / -k 2.9n -k 4n >"$tmp/edits"
said "$tmp/edits" '.details | objects | .version'
jq -nRc --slurpfile said "$tmp/said" "$by_entry"' inputs | split(" ") | . + [$said[.[0]]]' "$tmp/edits" >"$tmp/versions"
jq -rn --argjson dropped "$(dropped && echo true || echo false)" 'foreach inputs as [$entry, $act, $id, $said] ({of: {}};
  .bad = null | .of[$id] as $before |
  if $act == "ticket.created" then .of[$id] = 1
  elif $before == null then if $dropped then . else .bad = "\($entry): the entry with which the ticket \($id) began was left out" end
  else (if $act == "ticket.updated" then $before + 1 else $before end) as $version | .of[$id] = $version |
    if $said == null or $said == $version then . else .bad = "\($entry): version \($version) of the ticket was left out" end end; .bad // empty)' "$tmp/versions" >"$tmp/bad"
[ ! -s "$tmp/bad" ] || fail "$(head -n 1 "$tmp/bad")"

# Each run of a ticket says which of its runs it is.
if [ "$(jq -r .subject.type bundle.json)" = ticket ]; then
  xargs jq -r 'select(.act == "run.created") | input_filename' <"$tmp/ours" | sort -t / -k 2.9n -k 4n >"$tmp/created"
  seen=$(($(wc -l <"$tmp/created")))
  said "$tmp/created" '.details | objects | .run_of_ticket'
  jq -nRr --slurpfile said "$tmp/said" --argjson dropped "$(dropped && echo true || echo false)" "$by_entry"' foreach inputs as $entry ({seen: 0};
    .bad = null | .seen += 1 | $said[$entry] as $of | if $of == null then . else
      (if .lacking == null then .lacking = (if $dropped then $of - .seen else 0 end) else . end) |
      if $of == .seen + .lacking then . else .bad = $entry end end; .bad // empty)' "$tmp/created" >"$tmp/bad" ||
    fail 'a run of the ticket says nothing of its place that can be read'
  [ ! -s "$tmp/bad" ] || fail "$(head -n 1 "$tmp/bad"): a run of the ticket before it was left out"
  # And each export says how many there were by then.
  xargs jq -r 'select(.act == "evidence.exported") | input_filename' <"$tmp/ours" >"$tmp/exported"
  while read -r entry; do
    payload=${entry%/entries/*}/payloads/${entry##*/}
    [ -f "$payload" ] || continue
    [ "$(jq -r '.details.runs // 0' "$payload")" -le "$seen" ] || dropped || fail "$entry: a run that the ticket had then was left out"
  done <"$tmp/exported"
fi

# 6. Where the whole log is here: its entries give the root of the checkpoint, and of those that were in it when the bundle was
# made (whole_to) each one about what is here is among those of above.
entries | jq -r '.run // empty, (select(.act | startswith("ticket.")).res // empty)' >"$tmp/things"
jq -r '.subject.id, .artifacts[].id' bundle.json >>"$tmp/things"
for folder in people/*/; do
  [ ! -d "$folder" ] || basename "$folder" >>"$tmp/things"
done
jq -R . "$tmp/things" >"$tmp/about"
for log in logs/*/; do
  name=$(basename "$log")
  end=$(jq -r --arg name "$name" '.logs[] | select(.name == $name) | .whole_to // empty' bundle.json)
  find "$log" -path "${log}tile/*" -type f | sort >"$tmp/tiles"
  [ -n "$end" ] || [ -s "$tmp/tiles" ] || continue
  { read -r origin && read -r size && read -r root; } <"${log}checkpoint"
  # A tile has each entry behind two bytes of its length. Neither a line's end nor a zero is in an entry, but in a length.
  while read -r tile; do tr '\000\n' '\001\002' <"$tile" && echo; done <"$tmp/tiles" | sed 's/..{"act":"/\
{"act":"/g' | sed '/^$/d' >"$tmp/whole"
  [ "$(wc -l <"$tmp/whole")" -eq "$size" ] && [ -n "$end" ] && [ "$end" -le "$size" ] ||
    fail "${log}tile: not the whole log that bundle.json speaks of"
  ! grep -avqxE -e "$canonical" "$tmp/whole" || fail "${log}tile: there is an entry that is not as the log writes it"
  leaves <"$tmp/whole"
  : >"$tmp/places"
  : >"$tmp/nodes_said"
  climb && [ "$(openssl base64 -A <"$tmp/level")" = "$root" ] || fail "${log}tile: these entries do not give the root of the checkpoint"
  find "${log}" -path "${log}entries/*.json" | sed 's|.*/||;s|\.json$||' >"$tmp/here"
  jq -nr --argjson upto "$end" --slurpfile here "$tmp/here" --slurpfile about "$tmp/about" '
    def set: reduce .[] as $one ({}; .[$one | tostring] = true);
    ($here | set) as $here | ($about | set) as $about |
    foreach inputs as $entry (-1; . + 1;
      select(. < $upto and $here[tostring] != true) as $place |
      first([$entry.res, $entry.run][] | select(. != null and $about[.])) as $id |
      "entry \($place) (\($entry.act)) is about \($id), and is not here")' "$tmp/whole" >"$tmp/missing" ||
    fail "${log}tile: not a list of entries"
  [ ! -s "$tmp/missing" ] || fail "${log}tile: $(head -n 1 "$tmp/missing")"
  next=$(jq -r 'select(.act == "log.succeeded") | .res' "$tmp/whole" | tail -n 1)
  [ -z "$next" ] || jq -e --arg next "$next" '[.logs[].vkeys[]] | index($next)' bundle.json >/dev/null ||
    echo "log $origin: continued under $next, which is not here"
  echo "log $origin, whole: of its first $end entries none about what is here was left out"
done

# 7. Tasks: the log commits to the journal, and the journal to input and result.
count=0
for folder in tasks/*/; do
  [ -d "$folder" ] || continue
  folder=${folder%/} journal=$(digest "${folder%/}/journal.json") good=
  xargs jq -r --arg id "${folder#tasks/}" 'select(.res == $id) | input_filename' <"$tmp/ours" >"$tmp/about"
  while read -r entry; do
    payload=${entry%/entries/*}/payloads/${entry##*/}
    [ -f "$payload" ] && [ "$(jq -r '.details.journal_sha256 // empty' "$payload")" = "$journal" ] && good=1
  done <"$tmp/about"
  [ -n "$good" ] || fail "$folder/journal.json: no entry commits to it"
  [ "tasks/$(jq -r .run "$folder/journal.json")" = "$folder" ] || fail "$folder/journal.json: of another task"
  for file in "$folder"/*; do
    case $file in
    */journal.json) continue ;;
    */input.json) named=.input_sha256 ;;
    */result.json) named=.output_sha256 ;;
    */provenance.dsse.json)
      envelope "$file" "$tmp/payload"
      jq -e --arg sum "$(jq -r .output_sha256 "$folder/journal.json")" --arg journal "$journal" \
        '.subject[0].digest.sha256 == $sum and .predicate.runDetails.byproducts[0].digest.sha256 == $journal' \
        "$tmp/payload" >/dev/null || fail "$file: of another result"
      continue
      ;;
    *) fail "$file: no file of a task" ;;
    esac
    [ "$(jq -r "$named" "$folder/journal.json")" = "$(digest "$file")" ] || fail "$file: not the one that the journal names"
  done
  count=$((count + 1))
done
[ "$count" -eq 0 ] || echo "tasks: $count"
for key in keys/attestation-*.pem; do
  [ ! -e "$key" ] || grep -qxF -e "$key" "$tmp/signed_by" || echo "$key: nothing here was signed with it"
done

# 8. Files of evidence: those that were recorded, and all of them.
xargs jq -r 'select(.act == "artifact.uploaded") | "\(input_filename) \(.res)"' <"$tmp/ours" >"$tmp/uploaded"
said "$tmp/uploaded" '.details | objects | .sha256_hash'
jq -Rr --slurpfile bundle bundle.json --slurpfile said "$tmp/said" "$by_entry"' ($bundle[0].artifacts | map({key: .id, value: .sha256}) | from_entries) as $sums |
  .[:index(" ")] as $entry | .[index(" ") + 1:] as $id |
  if $sums[$id] == null then "\($entry): bundle.json does not say what became of the file"
  elif ($said | has($entry)) and $said[$entry] != $sums[$id] then "\($entry): another file was recorded" else empty end' "$tmp/uploaded" >"$tmp/bad"
[ ! -s "$tmp/bad" ] || fail "$(head -n 1 "$tmp/bad")"
# What entries tell of, and what the manifest lists: the lines of both, of which the latter begin with a digest.
jq -nRr --slurpfile bundle bundle.json '[inputs] as $lines |
  ([$lines[] | select(startswith("logs/")) | {key: .[index(" ") + 1:], value: true}] | from_entries) as $told |
  ([$lines[] | select(startswith("logs/") | not) | {key: .[66:], value: .[:64]} | select(.key | startswith("artifacts/"))] | from_entries) as $listed |
  $bundle[0].artifacts[] | select(.path != null) |
  if $told[.id] | not then "\(.path): no entry of the log tells of it"
  elif $listed[.path] == null then "\(.path): it is not in the bundle"
  elif $listed[.path] != .sha256 then "\(.path): not the file that was recorded" else empty end' "$tmp/uploaded" SHA256SUMS >"$tmp/bad"
[ ! -s "$tmp/bad" ] || fail "$(head -n 1 "$tmp/bad")"
jq -r '.artifacts[].path // empty' bundle.json | sort >"$tmp/paths"
path=$(grep '^artifacts/' "$tmp/listed" | comm -23 - "$tmp/paths" | head -n 1)
[ -z "$path" ] || fail "$path: bundle.json does not describe it"
jq -r '.artifacts[] | select(.path == null) | "\(.id) \(.number) \(.left_out)"' bundle.json >"$tmp/gone"
entries | jq -r 'select(.act | startswith("artifact.")) | "\(.act) \(.res)"' >"$tmp/told"
while read -r id number why; do
  case $why in
  deleted | erased)
    grep -qxF -e "artifact.$why $id" "$tmp/told" ||
      why="not here, $why as only the maker of this bundle says; no entry of the log does"
    ;;
  flagged | dropped) ;;
  *) fail "bundle.json: artifact $number is left out for no known reason" ;;
  esac
  echo "artifact $number: $why"
done <"$tmp/gone"
echo "files of evidence: $(wc -l <"$tmp/paths" | tr -d ' ')"

# 9. Records for people: the ticket in a version that an entry names, rules and findings of a check as they were attested.
count=0
for file in tickets/*; do
  [ -e "$file" ] || continue
  sum=$(digest "$file") good=
  xargs jq -r --arg id "$(basename "$file" .json)" 'select(.res == $id) | input_filename' <"$tmp/ours" |
    sed 's|/entries/|/payloads/|' >"$tmp/about"
  # Of a ticket there may be thousands of entries: only what has this digest anywhere is read.
  [ ! -s "$tmp/about" ] || xargs grep -lsF -e "$sum" <"$tmp/about" >"$tmp/with" || true
  [ -s "$tmp/about" ] || : >"$tmp/with"
  while read -r payload; do
    jq -e --arg sum "$sum" '.details.digest? == $sum' "$payload" >/dev/null && good=1
  done <"$tmp/with"
  [ -n "$good" ] || fail "$file: no entry names this version of the ticket"
  count=$((count + 1))
done
statements 'select(.predicateType == "https://in-toto.io/attestation/test-result/v0.1") | .predicate | "runs/\(.run.id)/" as $at |
  "\($at)outputs.json \(.outputs.sha256)", "\($at)rules.json \(.configuration[0].digest.sha256)"' | sort -u >"$tmp/attested"
sed -n 's|^\([0-9a-f]*\)  \(runs/.*\)|\2 \1|p' SHA256SUMS | sort >"$tmp/judged"
other=$(comm -23 "$tmp/judged" "$tmp/attested" | head -n 1)
[ -z "$other" ] || fail "${other% *}: not the one that was attested"
count=$((count + $(wc -l <"$tmp/judged")))
echo "records: $count"
if grep -qxE 'quorum +none' policy; then
  echo 'witnesses: policy asks for none (quorum none): whoever holds the keys of the logs could have written all of it anew'
else
  echo 'witnesses: their cosignatures are not checked here; writ verify does'
fi
echo "OK. Compare $fingerprint and the file policy with copies from elsewhere: see README.txt"
