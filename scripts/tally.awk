# tally.awk - counts test cases in the logs of automake's parallel test harness. Arguments: the .trs files; beside each is its .log.
# Prints a line for each program that did not pass, "LOG path" for each of their logs, and last "TOTAL passed failed".
#
# How a program says what it ran: Criterion by its Synthesis line; any other by lines "# N passed, N failed". A program
# that says neither is one case. What ends in a failure without having counted one counts as one.

function count(log_file,    line, part, found) {
	passed = failed = 0
	while ((getline line < log_file) > 0) {
		if (match(line, /Synthesis: Tested: [0-9]+ \| Passing: [0-9]+ \| Failing: [0-9]+ \| Crashing: [0-9]+/)) {
			split(substr(line, RSTART, RLENGTH), part, /[^0-9]+/)
			passed += part[3]
			failed += part[4] # those that crashed are among them
			found = 1
		} else if (match(line, /^# [0-9]+ passed, [0-9]+ failed/)) {
			split(line, part, /[^0-9]+/)
			passed += part[2]
			failed += part[3]
			found = 1
		}
	}
	close(log_file)
	return found
}

function one(trs,    line, result, log_file, found) {
	while ((getline line < trs) > 0)
		if (line ~ /^:global-test-result:/)
			result = substr(line, 22)
	close(trs)
	gsub(/ /, "", result)
	log_file = trs
	sub(/\.trs$/, ".log", log_file)
	found = count(log_file)
	if (result == "XFAIL") # must fail, and did
		result = "PASS"
	if (!found && result == "PASS")
		passed = 1
	if (result != "PASS" && result != "SKIP" && failed == 0)
		failed = 1
	all_passed += passed
	all_failed += failed
	if (result != "PASS" || failed > 0) {
		print (result == "" ? "no result" : result) ": " trs
		if (result != "SKIP")
			print "LOG " log_file
	}
}

BEGIN {
	for (i = 1; i < ARGC; i++)
		one(ARGV[i])
	print "TOTAL " all_passed + 0 " " all_failed + 0
}
