/** The picture of a soak: panels over one time axis, faults as bands behind them. SVG, by hand. */

export interface Panel {
  readonly title: string
  readonly unit: string
  /** One line each; x in minutes. */
  readonly lines: readonly (readonly (readonly [number, number])[])[]
}

export interface Plot {
  readonly title: string
  readonly minutes: number
  readonly panels: readonly Panel[]
  /** In minutes. */
  readonly bands: readonly { readonly from: number; readonly to: number; readonly label: string }[]
}

const WIDTH = 900
const PANEL_HEIGHT = 110
const LEFT = 70
const TOP = 40
const GAP = 34
const COLOURS = ['#1f6feb', '#d9480f']

export function drawPlot({ title, minutes, panels, bands }: Plot): string {
  const height = TOP + panels.length * (PANEL_HEIGHT + GAP) + 10
  const right = WIDTH - 20
  const x = (minute: number) => LEFT + (minute / Math.max(minutes, 0.01)) * (right - LEFT)
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="11">`,
    `<title>${escape(title)}</title>`,
    `<rect width="${WIDTH}" height="${height}" fill="#fff"/>`,
    `<text x="${LEFT}" y="20" font-size="14" font-weight="bold">${escape(title)}</text>`
  ]
  for (const [i, panel] of panels.entries()) {
    const top = TOP + i * (PANEL_HEIGHT + GAP)
    const bottom = top + PANEL_HEIGHT
    const highest = niceMax(Math.max(1, ...panel.lines.flat().map(([, value]) => value)))
    const y = (value: number) => bottom - (value / highest) * PANEL_HEIGHT
    for (const { from, to, label } of bands) {
      const width = Math.max(1, x(to) - x(from))
      parts.push(
        `<rect x="${fixed(x(from))}" y="${top}" width="${fixed(width)}" height="${PANEL_HEIGHT}" fill="#f2e6c9"><title>${escape(label)}</title></rect>`
      )
    }
    for (const share of [0, 0.5, 1]) {
      const at = fixed(y(highest * share))
      parts.push(
        `<line x1="${LEFT}" x2="${right}" y1="${at}" y2="${at}" stroke="#ddd"/>`,
        `<text x="${LEFT - 6}" y="${Number(at) + 4}" text-anchor="end" fill="#555">${highest * share}</text>`
      )
    }
    parts.push(
      `<text x="${LEFT}" y="${top - 6}" fill="#222">${escape(`${panel.title}, ${panel.unit}`)}</text>`
    )
    for (const [j, line] of panel.lines.entries()) {
      const points = line.map(([minute, value]) => `${fixed(x(minute))},${fixed(y(value))}`)
      parts.push(
        `<polyline fill="none" stroke="${COLOURS[j % COLOURS.length]}" stroke-width="1.3" points="${points.join(' ')}"/>`
      )
    }
    if (i === panels.length - 1) {
      for (let minute = 0; minute <= minutes; minute += Math.max(1, Math.round(minutes / 10))) {
        parts.push(
          `<text x="${fixed(x(minute))}" y="${bottom + 16}" text-anchor="middle" fill="#555">${minute} min</text>`
        )
      }
    }
  }
  return `${[...parts, '</svg>'].join('\n')}\n`
}

function fixed(value: number): string {
  return value.toFixed(1)
}

/** One, two or five times a power of ten, and not below the value. */
function niceMax(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value))
  return [1, 2, 5, 10].map(step => step * power).find(step => step >= value) ?? value
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
