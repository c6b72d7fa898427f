#!/usr/bin/env python3
"""count-unit-tests.py STATUS REPORT…: prints `passed failed skipped` of swift test's xunit reports.

STATUS is the exit status of swift test: a run that crashed leaves no failure in the report, and counts as one.
"""
import sys
import xml.etree.ElementTree as xml

status, reports = int(sys.argv[1]), sys.argv[2:]
passed = failed = skipped = 0
for report in reports:
    try:
        root = xml.parse(report).getroot()
    except (OSError, xml.ParseError):
        continue
    for case in root.iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
        elif case.find("skipped") is not None:
            skipped += 1
        else:
            passed += 1
if status != 0 and failed == 0:
    failed = 1
if passed + failed == 0:
    sys.exit(1)
print(passed, failed, skipped)
