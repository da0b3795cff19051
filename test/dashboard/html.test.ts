import t from 'tap'
import { html } from '../../src/dashboard/html.ts'

t.test('what is put in is text, in an element and in a quoted attribute', async t => {
  const hostile = `"><script>alert('&amp;')</script>`
  const text = '&quot;&gt;&lt;script&gt;alert(&#39;&amp;amp;&#39;)&lt;/script&gt;'
  t.equal(html`<a title="${hostile}">${hostile}</a>`.markup, `<a title="${text}">${text}</a>`)
})

t.test('markup that was made here goes in as it is, alone or in a list', async t => {
  const items = ['a', '<b>'].map(name => html`<i>${name}</i>`)
  t.equal(html`<b>${items}</b>`.markup, '<b><i>a</i><i>&lt;b&gt;</i></b>')
  t.equal(html`<i>${html`<b>${'&'}</b>`}</i>`.markup, '<i><b>&amp;</b></i>')
})

t.test('nothing leaves nothing', async t => {
  t.equal(html`<i>${undefined}${[]}${''}</i>`.markup, '<i></i>')
})
