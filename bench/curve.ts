/** The overload curve as an SVG that needs nothing but a viewer. */

export interface Point {
  /** All in requests a second. */
  readonly offered: number
  readonly accepted: number
  readonly shed: number
  /** Neither 200 nor 503, or broken. */
  readonly other: number
  /** Of the accepted ones, in ms. */
  readonly p99: number
}

const WIDTH = 720
const HEIGHT = 300
const LEFT = 64
const BOTTOM = 44
const TOP = 28

interface Line {
  readonly name: string
  readonly colour: string
  value(point: Point): number
}

const RATES: readonly Line[] = [
  { name: 'accepted/s', colour: '#0a7d33', value: point => point.accepted },
  { name: 'shed/s (503)', colour: '#b45309', value: point => point.shed }
]
const LATENCY: Line = { name: 'p99 of accepted, ms', colour: '#1d4ed8', value: point => point.p99 }

export function drawCurve(points: readonly Point[]): string {
  const upper = draw(points, RATES, 0)
  const lower = draw(points, [LATENCY], HEIGHT)
  const font = 'font-family="system-ui,sans-serif" font-size="12"'
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT * 2}" ${font}>
<rect width="100%" height="100%" fill="#fff"/>
${upper}
${lower}
</svg>
`
}

function draw(points: readonly Point[], lines: readonly Line[], offsetY: number): string {
  const mostX = Math.max(...points.map(({ offered }) => offered))
  const mostY = Math.max(1, ...points.flatMap(point => lines.map(line => line.value(point))))
  const x = (value: number) => LEFT + (value / mostX) * (WIDTH - LEFT - 24)
  const y = (value: number) => offsetY + HEIGHT - BOTTOM - (value / mostY) * (HEIGHT - BOTTOM - TOP)
  const axis = `<path d="M${LEFT} ${y(mostY)}V${y(0)}H${WIDTH - 24}" fill="none" stroke="#555"/>`
  const ticks = points.map(({ offered }) =>
    text([x(offered), y(0) + 16], String(offered), 'text-anchor="middle" fill="#333"')
  )
  const scale = [0, 0.5, 1].map(share =>
    text(
      [LEFT - 6, y(mostY * share) + 4],
      String(Math.round(mostY * share)),
      'text-anchor="end" fill="#333"'
    )
  )
  const label = text(
    [WIDTH / 2, y(0) + 34],
    'offered, requests a second',
    'text-anchor="middle" fill="#333"'
  )
  const drawn = lines.map((line, index) => {
    const path = points.map(
      point => `${x(point.offered).toFixed(1)},${y(line.value(point)).toFixed(1)}`
    )
    const name = text([LEFT + 12 + index * 160, offsetY + 16], line.name, `fill="${line.colour}"`)
    return `<polyline points="${path.join(' ')}" fill="none" stroke="${line.colour}" stroke-width="2"/>${name}`
  })
  return [axis, ...ticks, ...scale, label, ...drawn].join('\n')
}

function text(at: readonly [number, number], words: string, rest = ''): string {
  return `<text x="${at[0].toFixed(0)}" y="${at[1].toFixed(0)}" ${rest}>${words}</text>`
}
