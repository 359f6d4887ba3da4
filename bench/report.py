#!/usr/bin/env python3
"""Writes the report of bench/run: tables, the targets, and plots as SVG.

    report.py WORK REPORT.md

WORK has samples.tsv (workload, synchronous_commit, clients, system, value), facts.tsv, fsync.txt and perhaps extras.md.
"""
import collections
import html
import pathlib
import re
import statistics
import sys

SYSTEMS = ['reference', 'smallest', 'tidemark', 'message-db', 'emmett', 'emmett-driver', 'plain']
NAMES = {'reference': 'bare INSERT', 'smallest': 'smallest table', 'tidemark': 'Tidemark', 'message-db': 'message-db',
         'emmett': 'Emmett, its SQL', 'emmett-driver': 'Emmett, its driver', 'plain': 'plain model'}
PEERS = ['message-db', 'emmett', 'emmett-driver', 'plain']
# Those that have indexes for ids, streams and categories, as Tidemark has, and what they do not store.
COMPARABLE_BYTES = {'message-db': ', which has no category and schema version', 'plain': ', which has no schema version'}
COLOURS = {'reference': '#888888', 'smallest': '#bbbbbb', 'tidemark': '#0b6e4f', 'message-db': '#c8553d',
           'emmett': '#5b5f97', 'emmett-driver': '#a29bce', 'plain': '#d19c1d'}
APPENDS = {'w1': 'W1: one event to a new stream', 'w2': 'W2: one event to one of 10,000 streams',
           'w3_10': 'W3: 10 events a call, to a new stream', 'w3_100': 'W3: 100 events a call, to a new stream',
           'w4': 'W4: every writer on the same stream', 'w5': 'W5: three of 10,000 streams, all or none'}
READS = {'r1': 'R1: a stream of 100 events', 'r2': 'R2: the whole log, pages of 1,000',
         'r3': 'R3: one category of 20, pages of 1,000', 'r4': 'R4: polling with nothing new'}
FOLLOWING = {'r5': 'R5: a transaction that appends nothing stays open',
             'r6_position': 'R6: first to have its position, last to commit',
             'r6_transaction': 'R6: first to begin, last to append and commit'}

work, report = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
samples = collections.defaultdict(list)
for line in (work / 'samples.tsv').read_text().splitlines():
    workload, sync, clients, system, value = line.split('\t')
    samples[workload, sync, clients, system].append(value)
out = []


def values(*key):
    return [float(value) for value in samples.get(key, [])]


def median(*key):
    found = values(*key)
    return statistics.median(found) if found else None


def variants(workload):
    """The (synchronous_commit, clients) that it was measured with."""
    found = {key[1:3] for key in samples if key[0] == workload}
    return sorted(found, key=lambda variant: (variant[0], float(variant[1]) if variant[1] != '-' else 0))


def number(value):
    return f'{value:,.0f}' if value >= 100 else f'{value:.3g}'


def cell(base, *key):
    """Median, half of the distance between the quartiles in per cent, and the ratio to the base's median."""
    found = values(*key)
    if not found:
        return '–'
    middle = statistics.median(found)
    low, _, high = statistics.quantiles(found, method='inclusive') if len(found) > 1 else found * 3
    spread = (high - low) / 2 / middle * 100 if middle else 0
    ratio = f' **{middle / base:.2f}**' if base else ''
    return f'{number(middle)} ±{spread:.0f} %{ratio}'


def table(head, rows):
    out.append('| ' + ' | '.join(head) + ' |')
    out.append('|' + ' --- |' * len(head))
    out.extend('| ' + ' | '.join(row) + ' |' for row in rows)
    out.append('')


def measured_systems(workloads):
    return [system for system in SYSTEMS if any(key[0] in workloads and key[3] == system for key in samples)]


# Targets --------------------------------------------------------------------------------------------------------------

def worst_ratio(workload, sync, others, pick=max):
    """Over the numbers of clients, the least of Tidemark's median through the best of the others', and where."""
    found = []
    for variant, clients in variants(workload):
        theirs = [median(workload, variant, clients, system) for system in others]
        theirs = [value for value in theirs if value]
        ours = median(workload, variant, clients, 'tidemark')
        if variant == sync and ours and theirs:
            found.append((ours / pick(theirs), clients))
    return min(found) if found else None


def target(rows, what, wanted, found, more_is_better=True):
    if not found:
        return
    ratio, clients = found
    reached = ratio >= wanted if more_is_better else ratio <= wanted
    where = f' ({clients} clients)' if clients not in ('-', '1') else ''
    bound = f'{"at least" if more_is_better else "at most"} {wanted}'
    rows.append([what, bound, f'{ratio:.2f}{where}', 'yes' if reached else '**no**'])


def one_ratio(workload, sync, clients, system='reference'):
    ours, theirs = (median(workload, sync, clients, name) for name in ('tidemark', system))
    return (ours / theirs, clients) if ours and theirs else None


def targets():
    rows = []
    for workload in ('w1', 'w2'):
        for sync, least in (('on', 0.85), ('off', 0.75)):
            what = f'{workload.upper()}, synchronous_commit {sync}'
            target(rows, f'{what}, to the bare INSERT', least, worst_ratio(workload, sync, ['reference']))
            target(rows, f'{what}, to the best peer', 1, worst_ratio(workload, sync, PEERS))
    for sync in ('on', 'off'):
        for count in (10, 100):
            target(rows, f'W3, {count} events, synchronous_commit {sync}, to the multi-row INSERT', 0.9,
                   worst_ratio(f'w3_{count}', sync, ['reference']))
        clients = '8'
        peers = [median('w4', sync, clients, system) or 0 for system in PEERS]
        ours = median('w4', sync, clients, 'tidemark')
        if ours and max(peers):
            target(rows, f'W4, synchronous_commit {sync}, to the best peer', 2, (ours / max(peers), clients))
    target(rows, 'processor time of an append, to the bare INSERT', 1.3, one_ratio('cpu', 'off', '1'), False)
    for workload in ('r2', 'r3'):
        target(rows, f'{workload.upper()}, to the plain SELECT', 0.9, one_ratio(workload, '-', '1'))
    poll = one_ratio('r4', '-', '1')
    if poll:
        target(rows, 'R4, time of a poll, to the plain SELECT', 1.5, (1 / poll[0], '-'), False)
    target(rows, 'R1, to the best peer', 1, worst_ratio('r1', '-', PEERS))
    largest = max((float(key[2]) for key in samples if key[0] == 'growth_w1'), default=0)
    for workload in ('w1', 'w2'):
        small, grown = (median(f'growth_{workload}', size, f'{largest:.0f}', 'tidemark') for size in ('small', 'grown'))
        if grown:
            what = f'S1, cost of an append ({workload.upper()}) at {largest / 1000:g} million events, to 100,000'
            target(rows, what, 1.3, (small / grown, '-'), False)
    for what, key in (('on disk', ('disk', '-', '-')), ('of WAL', ('wal', 'off', '1'))):
        for system in COMPARABLE_BYTES:
            ours, theirs = median(*key, 'tidemark'), median(*key, system)
            if ours and theirs:
                target(rows, f'S2, bytes an event {what}, to {NAMES[system]}{COMPARABLE_BYTES[system]}', 1,
                       (ours / theirs, '-'), False)
    if rows:
        out.append('## The targets\n\nRatios of medians; of several numbers of clients, the worst for Tidemark.\n')
        table(['what', 'wanted', 'is', 'reached'], rows)


# Tables ---------------------------------------------------------------------------------------------------------------

def appends():
    for workload, title in APPENDS.items():
        for sync in ('on', 'off'):
            rows = []
            systems = measured_systems([workload])
            for variant, clients in variants(workload):
                base = median(workload, variant, clients, 'reference')
                if variant == sync:
                    rows.append([clients] + [cell(base, workload, sync, clients, system) for system in systems])
            if rows:
                out.append(f'### {title}, synchronous_commit {sync}\n')
                table(['clients'] + [NAMES[system] for system in systems], rows)
        plot_clients(workload, title)
    rows = []
    for key, title in (('cpu', 'processor time of the backend, µs'), ('wal', 'WAL, bytes')):
        base = median(key, 'off', '1', 'reference')
        if base:
            rows.append([title] + [cell(base, key, 'off', '1', system) for system in measured_systems(['cpu'])])
    base = median('disk', '-', '-', 'reference')
    rows.append(['on disk, bytes'] + [cell(base, 'disk', '-', '-', system) for system in SYSTEMS
                                      if median('disk', '-', '-', system)])
    out.append('### One event\n\nOn disk: of what was loaded, with indexes, after VACUUM. The others: of one backend '
               'that appends to new streams in a loop of transactions, from a checkpoint on.\n')
    table([''] + [NAMES[system] for system in SYSTEMS if median('disk', '-', '-', system)], rows)


def reads():
    systems = measured_systems(READS)
    rows = []
    for workload, title in READS.items():
        base = median(workload, '-', '1', 'reference')
        if base:
            rows.append([title] + [cell(base, workload, '-', '1', system) for system in systems])
    if rows:
        out.append('## Reads a second, one client\n')
        table([''] + [NAMES[system].replace('INSERT', 'SELECT') for system in systems], rows)


def following():
    systems = measured_systems(FOLLOWING)
    if not systems:
        return
    out.append('## Readers beside writers\n')
    rows = [[title] + ['; '.join(samples[workload, '-', '-', system]) or '–' for system in systems]
            for workload, title in FOLLOWING.items()]
    for workload, title in (('r7', 'R7: from COMMIT to the reader, µs'),
                            ('r7_polling', 'R7: of a reader that polls without pause, µs')):
        rows.append([title] + [cell(None, workload, '-', '-', system) for system in systems])
    table([''] + [NAMES[system].replace('INSERT', 'SELECT') for system in systems], rows)


def growth():
    sizes = sorted({key[2] for key in samples if key[0] == 'growth_w1'}, key=float)
    if not sizes:
        return
    rows = []
    lines = collections.defaultdict(list)
    kinds = (('w1', 'W1'), ('w1_checkpoint', 'W1, after a checkpoint'), ('w2', 'W2'),
             ('w2_checkpoint', 'W2, after a checkpoint'), ('r2', 'R2, a page'))
    for workload, title in kinds:
        for system in ('reference', 'tidemark'):
            row = [title, NAMES[system]]
            lines[title, system].append((0.1, 1.0))
            for size in sizes:
                small, grown = (median(f'growth_{workload}', name, size, system) for name in ('small', 'grown'))
                if not grown:
                    row.append('–')
                    continue
                row.append(f'{1e6 / grown:,.0f} µs, to {1e6 / small:,.0f}: **{small / grown:.2f}**')
                lines[title, system].append((float(size) / 1000, small / grown))
            rows.append(row)
    out.append('## S1: what a growing log costs\n\nMicroseconds of an append and of a page in the grown log, to those '
               'in one of 100,000 events in the same rounds; one client, synchronous_commit off. After a checkpoint, the '
               'first change to each page puts the whole page into the WAL.\n')
    table(['', ''] + [f'{float(size) / 1000:g} million' for size in sizes], rows)
    dashes = {'W1': '', 'W2': '6 4', 'R2, a page': '2 3'}
    plot('growth', 'Cost in a grown log, to one of 100,000 events', 'million events', 'ratio',
         [(f'{NAMES[system]}, {title}', COLOURS[system], dashes[title], points)
          for (title, system), points in lines.items() if title in dashes])


# Plots ----------------------------------------------------------------------------------------------------------------

def plot_clients(workload, title):
    for sync in ('on', 'off'):
        lines = []
        for system in measured_systems([workload]):
            points = [(float(clients), median(workload, sync, clients, system))
                      for variant, clients in variants(workload) if variant == sync]
            points = [point for point in points if point[1] is not None]
            lines.append((NAMES[system], COLOURS[system], '6 4' if system in ('reference', 'smallest') else '', points))
        if any(len(points) > 1 for _, _, _, points in lines):
            plot(f'{workload}-{sync}', f'{title}, synchronous_commit {sync}', 'clients', 'events a second', lines)


def ticks(top):
    step = 10 ** len(str(int(top))) / 10
    while top / step < 4:
        step /= 2
    return [step * i for i in range(int(top / step) + 2)]


def plot(name, title, x_title, y_title, lines):
    """Lines, whose x values are set at even distances. Written by hand: it is not worth a dependency."""
    width, height, left, top, right, bottom = 760, 400, 80, 40, 190, 50
    xs = sorted({x for _, _, _, points in lines for x, _ in points})
    marks = ticks(max(y for _, _, _, points in lines for _, y in points))
    span = (len(xs) - 1) or 1

    def at(x, y):
        return (left + xs.index(x) / span * (width - left - right),
                height - bottom - y / marks[-1] * (height - top - bottom))

    svg = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
           f'font-size="12"><rect width="{width}" height="{height}" fill="white"/>',
           f'<text x="{left}" y="22" font-size="14" font-weight="bold">{html.escape(title)}</text>']
    for mark in marks:
        y = at(xs[0], mark)[1]
        svg.append(f'<line x1="{left}" y1="{y:.1f}" x2="{width - right}" y2="{y:.1f}" stroke="#e4e4e4"/>'
                   f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{mark:,.10g}</text>')
    for x in xs:
        svg.append(f'<text x="{at(x, 0)[0]:.1f}" y="{height - bottom + 18}" text-anchor="middle">{x:g}</text>')
    svg.append(f'<text x="{(left + width - right) / 2}" y="{height - 12}" text-anchor="middle">{x_title}</text>'
               f'<text transform="translate(16 {(top + height - bottom) / 2}) rotate(-90)" text-anchor="middle">'
               f'{y_title}</text>')
    label = top + 10
    for text, colour, dashes, points in sorted(lines, key=lambda line: -line[3][-1][1] if line[3] else 0):
        if not points:
            continue
        path = ' '.join(f'{x:.1f},{y:.1f}' for x, y in (at(*point) for point in points))
        svg.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2" '
                   f'stroke-dasharray="{dashes}"/>'
                   f'<line x1="{width - right + 12}" y1="{label}" x2="{width - right + 36}" y2="{label}" '
                   f'stroke="{colour}" stroke-width="2" stroke-dasharray="{dashes}"/>'
                   f'<text x="{width - right + 42}" y="{label + 4}">{html.escape(text)}</text>')
        label += 20
    svg.append('</svg>')
    path = report.with_name(f'{report.stem}-{name}.svg')
    path.write_text('\n'.join(svg) + '\n')
    out.append(f'![{title}]({path.name})\n')


def main():
    date = re.match(r'[\d-]+\d', report.stem).group()
    out.append(f'# Measured on {date}\n')
    out.append('In each cell: the median of the turns, half of the distance between the quartiles, and in bold'
               ' the ratio to the bare INSERT or SELECT. [How it is measured](../../docs/performance.md).\n')
    facts = [line.split('\t', 1) for line in (work / 'facts.tsv').read_text().splitlines()]
    table(['', ''], facts)
    targets()
    if any(key[0] in APPENDS for key in samples):
        out.append('## Appends: events a second\n')
        appends()
    reads()
    following()
    growth()
    if (work / 'extras.md').exists():
        out.append('## Projections, the client, subscriptions\n')
        out.append((work / 'extras.md').read_text())
    out.append('## The disk\n\n```text\n' + (work / 'fsync.txt').read_text().rstrip() + '\n```')
    report.write_text('\n'.join(out) + '\n')


main()
