# What vennel cp runs on a node. The first word of each line for the client is $1, which no file can know.
# Paths come as printf %b has them, so that every byte can be in them.
key=$1 what=$2
shift 2
LC_ALL=C COPYFILE_DISABLE=1 status=0 stage=
export LC_ALL COPYFILE_DISABLE
cd 2>/dev/null || cd /

say() { printf '%s %s\n' "$key" "$*"; }
bad() { printf '%s\n' "$1: ${2##*: }" >&2; status=1; }

# end says how it went, once nothing is left of it: the client ends the session then.
end() {
	[ -z "$stage" ] || rm -rf "$stage"
	say end "$status"
	exit "$status"
}

# path sets $path to what $1 says, so that no program takes it for an option.
path() {
	path=$(printf '%b.' "$1")
	path=${path%.}
	case $path in
	'') path=. ;;
	'~' | '~/'*) path=$HOME${path#'~'} ;;
	-*) path=./$path ;;
	esac
}

# sum says a checksum of its input, and - where nothing makes one.
sum() {
	if command -v sha256sum >/dev/null; then
		sha256sum
	elif command -v shasum >/dev/null; then
		shasum -a 256
	else
		cat >/dev/null && echo -
	fi
}

# place moves $1 to $2. Folders that are there already get what is in those that come.
place() {
	if [ -d "$1" ] && [ ! -h "$1" ]; then
		if [ -d "$2" ]; then
			for file in "$1"/* "$1"/.[!.]* "$1"/..?*; do
				if [ -e "$file" ] || [ -h "$file" ]; then place "$file" "$2/${file##*/}"; fi
			done
			return
		elif [ -e "$2" ] || [ -h "$2" ]; then
			bad "$2" 'Not a directory'
			return
		fi
	elif [ -d "$2" ]; then
		bad "$2" 'Is a directory'
		return
	elif [ -e "$2" ] && [ ! -f "$2" ]; then
		bad "$2" 'not a regular file'
		return
	fi
	why=$(mv -f "$1" "$2" 2>&1) || bad "$2" "$why"
}

# put takes an archive from standard input and unpacks it with $1: $2 bytes of a terminal, or all there is. $3 is not empty when $4, where
# it goes, must be a folder.
put() {
	how=$1 size=$2 many=$3
	path "$4"
	to=$path
	if [ -n "$size" ]; then
		stty raw -echo || { bad stty 'this needs a terminal'; end; }
	else
		read -r go || exit 0 # this agent gives no input
	fi
	in=$to
	if [ ! -d "$to" ]; then
		in=${to%"${to##*[!/]}"}
		case $in in
		*/*)
			in=${in%/*}
			in=${in:-/}
			;;
		*) in=. ;;
		esac
		if [ -n "$many" ] || [ ! -d "$in" ]; then
			if [ -e "$to" ]; then bad "$to" 'Not a directory'; else bad "$to" 'No such file or directory'; fi
			end
		fi
	fi
	stage=$in/.vennel-cp-$key
	trap 'rm -rf "$stage"' EXIT
	trap 'exit 1' HUP INT PIPE TERM
	why=$(mkdir -m 700 "$stage" 2>&1) || { bad "$in" "$why"; end; }
	say ready "$(umask)"
	if [ -n "$size" ]; then
		mkfifo -m 600 "$stage/pipe" || { bad "$in" 'it takes no pipe'; end; }
		sum <"$stage/pipe" >"$stage/sum" &
		head -c "$size" | tee "$stage/pipe" | (tar "-xp$how" -f - -C "$stage" && cat >/dev/null) || { status=1; end; }
		wait
		read -r sum rest <"$stage/sum"
		say sum "$sum"
		read -r go
		[ "$go" = place ] || exit 1
	else
		tar "-xp$how" -f - -C "$stage" || status=1
	fi
	if [ "$status" = 0 ] && [ -e "$stage/whole" ]; then
		for file in "$stage"/new/* "$stage"/new/.[!.]* "$stage"/new/..?*; do
			if [ -e "$file" ] || [ -h "$file" ]; then
				if [ -d "$to" ]; then place "$file" "${to%/}/${file##*/}"; else place "$file" "$to"; fi
			fi
		done
	else
		status=1
	fi
	end
}

# get sends an archive of each of the paths. $1 is not empty when folders are wanted, too.
get() {
	folders=$1 number=0 plain=-h
	shift
	case $(tar --version 2>&1) in
	*'GNU tar'*) plain=--no-unquote ;; # a backslash in a name means itself
	esac
	for file in "$@"; do
		path "$file"
		if ! why=$(ls -d "$path" 2>&1); then
			bad "$path" "$why"
		elif [ -d "$path" ]; then
			if [ -z "$folders" ]; then
				bad "$path" 'Is a directory, which is copied with -r only'
			elif ! why=$(cd "$path" 2>&1); then
				bad "$path" "$why"
			else
				say folder "$number"
				(cd "$path" && tar -cf - .)
				say next "$?"
			fi
		elif [ ! -f "$path" ]; then
			bad "$path" 'not a regular file'
		elif ! why=$( (: <"$path") 2>&1); then
			bad "$path" "$why"
		else
			say file "$number"
			case $path in
			*/*) (cd "${path%/*}/" && tar -chf - "$plain" "./${path##*/}") ;;
			*) tar -chf - "$plain" "./$path" ;;
			esac
			say next "$?"
		fi
		number=$((number + 1))
	done
	end
}

case $what in
put) put "$@" ;;
get)
	if read -r go; then
		get "$@"
	else # this agent gives no input, and changes what is not text
		get "$@" | base64
	fi
	;;
esac
