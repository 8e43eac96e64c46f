// The module: instruction sets, and every family of functions that is compiled in.
#include <nanobind/stl/vector.h>

#include <algorithm>

#include "bind/arrays.hpp"
#include "core/dispatch.hpp"
#include "core/interrupt.hpp"

using namespace atomprint;

NB_MODULE(_core, m) {
    nb::set_leak_warnings(false); // calculators are cached for the life of the process
    set_interrupt_check([] {
        const nb::gil_scoped_acquire gil;
        if (PyErr_CheckSignals() != 0)
            throw nb::python_error();
    });
    kernels(); // an unusable ATOMPRINT_ISA is reported at import
    nb::register_exception_translator([](const std::exception_ptr& thrown, void*) {
        try {
            std::rethrow_exception(thrown);
        } catch (const StructureError& error) {
            const nb::object type = nb::module_::import_("atomprint.structures").attr("StructureError");
            PyErr_SetObject(type.ptr(), type(error.index, nb::none(), error.what()).ptr());
        }
    });
    m.def("instruction_sets", &instruction_sets,
          "Names of the instruction sets that this processor supports, slowest first.");
    m.def(
        "instruction_set", [] { return std::string(kernels().instruction_set); },
        "Name of the instruction set in use.");
    m.def("use_instruction_set", &use_instruction_set, nb::arg("name"), "Change the instruction set in use.");

    // Structures and sparse rows come first, as all others take them.
    auto& families = bind::Family::all();
    const auto key = [](const bind::Family* f) {
        const std::string name = f->name;
        return std::make_pair(name != "structures" && name != "sparse", name);
    };
    std::sort(families.begin(), families.end(), [&](const auto* a, const auto* b) { return key(a) < key(b); });
    for (const bind::Family* family : families)
        family->define(m);
}
