#!/usr/bin/env bash
# test.sh [unit] [guests] [tsan] [fuzz]: installs what the tests need, runs the suites, and prints last one line of their sum:
# `N passed, N failed`; skipped tests are counted in the line before. Exit status 1 when anything failed.
# In CI ($CI is set) the suspend/resume tests take fewer turns.
source "$(dirname "$0")/lib.sh"
cd "$repository"
results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT
[ $# -gt 0 ] || set -- unit guests

# A suite that could not run counts as one failure, so that the sum never looks clean by accident.
missed() { echo "FAIL $1"; echo "0 1 0" >"$results/$2"; }

for suite; do
    case $suite in
    unit)
        Scripts/packages.sh build oracles
        Scripts/fresh-modules.sh debug
        step "building the unit tests"
        if ! swift build --build-tests --quiet; then missed "the unit tests do not build" unit; continue; fi
        step "running the unit tests"
        status=0
        # The suite takes a minute; one that hangs must not hold up the rest.
        timeout -k 10 900 swift test --skip-build --quiet --parallel --xunit-output "$results/unit.xml" || status=$?
        [ "$status" != 124 ] || echo "FAIL the unit tests did not end within 15 minutes"
        Scripts/count-unit-tests.py "$status" "$results"/unit*.xml >"$results/unit" || missed "the unit tests left no report" unit
        ;;
    guests)
        Scripts/packages.sh build guests oracles containers
        if ! make -s build; then missed "guise does not build" guests; continue; fi
        step "running the guest suite"
        Tests/Guests/run --counts "$results/guests" ${CI:+--chaos 2} || [ -s "$results/guests" ] || missed "the guest suite broke off" guests
        ;;
    tsan)
        Scripts/packages.sh build
        step "building the unit tests with ThreadSanitizer"
        sanitized=(--sanitize=thread --scratch-path .build/tsan)
        if ! swift build --build-tests --quiet "${sanitized[@]}"; then missed "the sanitized tests do not build" tsan; continue; fi
        step "running the suites of threads"
        status=0
        timeout -k 10 1800 swift test --skip-build --quiet --parallel "${sanitized[@]}" \
            --filter '^(Devices|Machines|Translator|TranslatedCPU)Tests\.' --xunit-output "$results/tsan.xml" || status=$?
        Scripts/count-unit-tests.py "$status" "$results"/tsan*.xml >"$results/tsan" || missed "the sanitized tests left no report" tsan
        ;;
    fuzz)
        Scripts/packages.sh build guests oracles
        Scripts/fresh-modules.sh debug
        step "building the unit tests"
        if ! swift build --build-tests --quiet; then missed "the unit tests do not build" fuzz; continue; fi
        # GUISE_FUZZ times the usual rounds, from seeds that nobody has tried: a failure names the seed to repeat it with.
        export GUISE_FUZZ=${GUISE_FUZZ:-50} GUISE_FUZZ_SEED=${GUISE_FUZZ_SEED:-$RANDOM}
        export GUISE_FUZZ_PROGRAMS=$GUISE_FUZZ GUISE_DIFFERENTIAL_UNITS=$((GUISE_FUZZ * 400)) GUISE_DIFFERENTIAL_SEED=$((GUISE_FUZZ_SEED * 100000))
        step "running the random tests with GUISE_FUZZ=$GUISE_FUZZ GUISE_FUZZ_SEED=$GUISE_FUZZ_SEED"
        status=0
        swift test --skip-build --quiet --parallel --xunit-output "$results/fuzz.xml" --filter \
            'Fuzz|NineP|Virtio|Virtqueue|BootPlan|Machine|Differential|QEMUComparison|RuntimeThreads|Probe|Robustness' || status=$?
        Scripts/count-unit-tests.py "$status" "$results"/fuzz*.xml >"$results/fuzz" || missed "the random tests left no report" fuzz
        if ! make -s build; then missed "guise does not build" fuzz; continue; fi
        Tests/Guests/run --only 'fuzz' --counts "$results/fuzzguests" || [ -s "$results/fuzzguests" ] || missed "the guest suite broke off" fuzzguests
        ;;
    *) die "no suite $suite; there are unit, guests, tsan and fuzz" ;;
    esac
done

read -r passed failed skipped < <(cat "$results"/{unit,guests,tsan,fuzz,fuzzguests} 2>/dev/null | awk '{ p += $1; f += $2; s += $3 } END { print p + 0, f + 0, s + 0 }')
[ "$skipped" = 0 ] || echo "$skipped skipped"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
