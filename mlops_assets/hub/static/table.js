// A table of text, which is never markup; a cell of null is a slot with elements of its own.
export default {
  template: `
    <div class="hub-scroll" tabindex="0" role="region" :aria-label="caption">
      <table class="hub-table">
        <thead><tr>
          <th v-for="(name, column) in columns" :key="column" scope="col" :class="kinds[column]">{{ name }}</th>
        </tr></thead>
        <tbody>
          <tr v-for="(row, index) in rows" :key="index">
            <td v-for="(cell, column) in row" :key="column" :class="look(cell, column)">
              <slot v-if="cell === null" :name="index + '-' + column"></slot><template v-else>{{ cell }}</template>
            </td>
          </tr>
        </tbody>
      </table>
    </div>`,
  props: { caption: String, columns: Array, rows: Array, kinds: Array, short: Number },
  methods: {
    // a short text, such as a date, is not to be broken into lines
    look(cell, column) {
      return this.kinds[column] || (cell !== null && [...cell].length <= this.short ? "hub-short" : "");
    },
  },
};
