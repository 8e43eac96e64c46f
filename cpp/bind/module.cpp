// The module: instruction sets, and every family of functions that is compiled in.
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <vector>

#include "bind/arrays.hpp"
#include "core/dispatch.hpp"
#include "core/interrupt.hpp"

using namespace atomprint;

namespace {

// Threads of Python whose computations stop together. They never ask for signals, which only the main thread is sent.
class Stop {
public:
    void set() { stop_.store(true); }
    void enter() { groups().push_back(std::make_unique<PollGroup>(stop_, false)); }
    void leave() { groups().pop_back(); }

private:
    std::atomic<bool> stop_{false};

    static std::vector<std::unique_ptr<PollGroup>>& groups() {
        thread_local std::vector<std::unique_ptr<PollGroup>> entered;
        return entered;
    }
};

} // namespace

NB_MODULE(_core, m) {
    nb::set_leak_warnings(false); // calculators are cached for the life of the process
    set_interrupt_check([] {
        const nb::gil_scoped_acquire gil;
        if (PyErr_CheckSignals() != 0)
            throw nb::python_error();
    });
    nb::class_<Stop>(m, "Stop", "With this, computations of a thread stop once it is set, from any thread.")
        .def(nb::init<>())
        .def("set", &Stop::set)
        .def("__enter__", &Stop::enter)
        .def(
            "__exit__", [](Stop& stop, const nb::args&) { stop.leave(); },
            nb::sig("def __exit__(self, *args: object) -> None"));
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
