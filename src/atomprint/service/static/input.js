// What the user gave: files, formulas, or the text of a structure.

const FORMULA = /^[A-Z(\[{0-9][^\s_]*(\s?[·*+.]\s?[^\s_]+)*$/;

// Each line a formula, and none a number alone, as POSCAR and xyz have them; else it is the text of one structure.
export function textsOf(text) {
  const lines = text.split(/\r?\n/).map((line) => line.trim()).filter(Boolean);
  const formulas = lines.every((line) => FORMULA.test(line) && /[A-Za-z]/.test(line));
  if (!lines.length) return [];
  return formulas || lines.length === 1 ? lines : [text];
}

// Let files be dropped on an element; hand on what was chosen.
export function takeFiles(area, field, chosen) {
  for (const name of ["dragenter", "dragover"]) {
    area.addEventListener(name, (event) => {
      event.preventDefault();
      area.classList.add("over");
    });
  }
  for (const name of ["dragleave", "drop"]) area.addEventListener(name, () => area.classList.remove("over"));
  area.addEventListener("drop", (event) => {
    event.preventDefault();
    if (event.dataTransfer.files.length) {
      field.files = event.dataTransfer.files;
      chosen();
    }
  });
  field.addEventListener("change", () => field.files.length && chosen());
  // A file that misses the area would take the place of the page.
  for (const name of ["dragover", "drop"]) window.addEventListener(name, (event) => event.preventDefault());
}

export const ROCK_SALT = `data_NaCl
_cell_length_a 5.64
_cell_length_b 5.64
_cell_length_c 5.64
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_space_group_name_H-M_alt 'F m -3 m'
loop_
_atom_site_label
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Na 0 0 0
Cl 0.5 0.5 0.5
`;
