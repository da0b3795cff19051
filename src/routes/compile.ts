/**
 * Sources → route table and tests, or every finding. A file with one error is not loaded at all.
 */
import type { Segment } from '../core/route-pattern.ts'
import { createRouteTable, reservedPrefixes } from '../core/route-table.ts'
import type { OwnRoute, Rule, RouteTable } from '../core/rule.ts'
import { readDocument } from './document.ts'
import {
  type Finding,
  finding,
  hasError,
  placeSeenFrom,
  type Report,
  sortFindings
} from './findings.ts'
import { lintModes, lintRules, lintScopes } from './lints.ts'
import { findCaseTwins, findOverlaps } from './overlap.ts'
import { createRuleTrie, type ReadRule, type RuleTrie } from './rule-trie.ts'
import { readRules } from './rules.ts'
import { readSources, type Seen, type Sources } from './sources.ts'
import { readTests, type RouteTest } from './tests.ts'
import { readScopes, readUpstreams } from './vocabulary.ts'

export interface CompileOptions {
  /** The gate's own paths; rules at and below them are refused. */
  readonly ownRoutes: readonly OwnRoute[]
  /** Rules that cross or are never reached are not looked for: that takes as long as all the rest. */
  readonly isQuick?: boolean
}

export interface RefusedRoutes {
  /** Sorted: errors, warnings, notes; then by place. */
  readonly findings: readonly Finding[]
  /** Paths that were read, the route file first. */
  readonly files: readonly string[]
  /** Those that have nothing wrong in themselves. */
  readonly rules: readonly Rule[]
  readonly hash: string
  readonly seen: Seen
}

export interface LoadedRoutes extends RefusedRoutes {
  readonly table: RouteTable
  readonly tests: readonly RouteTest[]
}

/** `'table' in loaded` tells which it is. Never rejects because of the file. */
export async function loadRoutes(
  path: string,
  options: CompileOptions
): Promise<LoadedRoutes | RefusedRoutes> {
  const findings: Finding[] = []
  const sources = await readSources(path, reportTo(findings))
  return compileRoutes(sources, findings, options)
}

export function compileRoutes(
  sources: Sources,
  readFindings: readonly Finding[],
  { ownRoutes, isQuick = false }: CompileOptions
): LoadedRoutes | RefusedRoutes {
  const findings = [...readFindings]
  const report = reportTo(findings)
  const document = readDocument(sources.files, report)
  const { mode = 'enforce', options = 'deny', timeoutMs = 30_000 } = document.settings
  const scopes = readScopes(document.scopes, report)
  const upstreams = readUpstreams(document.upstreams, report)
  const reads = readRules(document.routes, { scopes, upstreams, mode, timeoutMs, report })
  const tests = readTests(document.tests, scopes, upstreams, report)
  const rules = reads.map(({ rule }) => rule)
  denyReserved(reads, ownRoutes, report)
  const trie = createRuleTrie(reads, ownRoutes)
  denyCaseTwins(reads, trie, report)
  const hasOverlap = denyOverlaps(trie, report)
  const { hash, seen } = sources
  const files = sources.files.map(({ file }) => file)
  const table = createRouteTable({
    rules,
    ownRoutes,
    scopes,
    upstreams,
    mode,
    options,
    timeoutMs,
    hash
  })
  findings.push(...lintScopes(document, table), ...lintModes(rules, document))
  if (!hasOverlap && !isQuick) findings.push(...lintRules(reads, trie, table))
  const refused = { findings: sortFindings(findings, files), files, rules, hash, seen }
  return hasError(findings) ? refused : { ...refused, table, tests }
}

function reportTo(findings: Finding[]): Report {
  return (code, place, message) => void findings.push(finding(code, place, message))
}

function denyReserved(
  reads: readonly ReadRule[],
  ownRoutes: readonly OwnRoute[],
  report: Report
): void {
  const prefixes = reservedPrefixes(ownRoutes)
  for (const { rule, pattern } of reads) {
    const { segments } = pattern
    const prefix = prefixes.find(texts =>
      texts.every((text, i) => {
        const segment = segments[i]
        return segment !== undefined && isNamedIn(segment, text)
      })
    )
    if (!prefix) continue
    report('reserved-path', rule.place, `/${prefix.join('/')} and what is below are the gate's own`)
  }
}

function isNamedIn(segment: Segment, text: string): boolean {
  return segment.kind === 'literal'
    ? segment.text === text
    : segment.kind === 'enum' && segment.values.includes(text)
}

function denyCaseTwins(reads: readonly ReadRule[], trie: RuleTrie, report: Report): void {
  for (const { rule, text, otherRule, otherText } of findCaseTwins(reads, trie)) {
    const other = otherRule
      ? `${otherRule.key} (${placeSeenFrom(rule.place, otherRule.place)})`
      : "one of the gate's own paths"
    report(
      'case-twins',
      rule.place,
      `"${text}" and "${otherText}" of ${other} differ in case alone`
    )
  }
}

function denyOverlaps(trie: RuleTrie, report: Report): boolean {
  const overlaps = findOverlaps(trie)
  for (const {
    rules: [first, second],
    request
  } of overlaps) {
    const where = placeSeenFrom(first.place, second.place)
    report(
      'overlap',
      first.place,
      `${first.key} and ${second.key} (${where}) are equal for ${request}`
    )
  }
  return overlaps.length > 0
}
