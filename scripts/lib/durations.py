"""How long the suites of a run of nextest took, and which tests passed in a second try only: durations.py JUNIT-FILE"""
import sys
import xml.etree.ElementTree as xml

suites, flaky = [], []
for suite in xml.parse(sys.argv[1]).getroot():
    tests = list(suite.iter("testcase"))
    longest = max(tests, key=lambda test: float(test.get("time")))
    seconds = sum(float(test.get("time")) for test in tests)
    suites.append((seconds, suite.get("name"), len(tests), float(longest.get("time")), longest.get("name")))
    flaky += [f"{suite.get('name')} {test.get('name')}" for test in tests if test.find("flakyFailure") is not None]
print(f"{'seconds':>8} {'tests':>5}  {'suite':<30} longest test")
for seconds, name, count, longest, test in sorted(suites, reverse=True):
    print(f"{seconds:8.1f} {count:5}  {name:<30} {longest:.1f} {test}")
print(f"\nflaky tests: {len(flaky)}")
for name in flaky:
    print(f"    {name}")
