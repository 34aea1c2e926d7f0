#!/bin/sh
# Asks the machine's first process for a reboot or power-off, in the words of the program under whose name it is called.
name=${0##*/}
ask() {
	if ! { echo "$1 $2" >/run/initctl; } 2>/dev/null; then
		echo "$name: Must be root." >&2
		exit 1
	fi
	exit 0
}
case $name in
systemctl)
	for word; do
		case $word in
		reboot | poweroff) ask "$word" 0 ;;
		halt) ask poweroff 0 ;;
		is-system-running) echo offline && exit 1 ;;
		esac
	done
	echo "System has not been booted with systemd as init system (PID 1). Can't operate." >&2
	exit 1
	;;
reboot | poweroff) ask "$name" 0 ;;
halt) ask poweroff 0 ;;
telinit | init)
	case $1 in
	6) ask reboot 0 ;;
	0) ask poweroff 0 ;;
	esac
	echo "$name: there are no runlevels" >&2
	exit 1
	;;
shutdown)
	what=poweroff when=
	for word; do
		case $word in
		-c) ask cancel 0 ;;
		--reboot) what=reboot ;;
		--*) ;;
		-*r*) what=reboot ;;
		-*) ;;
		*) [ -n "$when" ] || when=$word ;;
		esac
	done
	when=${when:-+1}
	case $when in
	now) ask "$what" 0 ;;
	*:*) at=$(date -d "$when" +%s 2>/dev/null) && now=$(date +%s) && ask "$what" $(((at - now + 86400) % 86400)) ;;
	*)
		when=${when#+}
		case $when in
		"" | *[!0-9]* | ??????*) ;;
		*) ask "$what" $((when * 60)) ;;
		esac
		;;
	esac
	echo "Failed to parse time specification: $when" >&2
	exit 1
	;;
esac
echo "$name: not known here" >&2
exit 1
