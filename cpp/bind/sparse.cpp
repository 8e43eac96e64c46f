// Sparse matrices that grow row by row.
#include <limits>

#include "bind/arrays.hpp"
#include "core/sparse.hpp"

namespace atomprint::bind {

namespace {

template <class T>
void append(SparseRows<T>& self, const In<T, nb::ndim<2>>& rows) {
    require(rows.shape(1) == self.n_features(), "rows must have n_features numbers");
    nb::gil_scoped_release release;
    for (std::size_t row = 0; row < rows.shape(0); ++row) {
        self.all().add({0, self.n_features()}, rows.data() + row * self.n_features());
        self.all().end_row();
    }
}

// Where rows end and begin, in the narrowest type.
nb::object starts(const Growing<std::int64_t>& ends) {
    const auto copy = [&](auto zero) {
        std::vector numbers{zero};
        numbers.insert(numbers.end(), ends.data(), ends.data() + ends.size());
        return to_numpy(std::move(numbers), {ends.size() + 1});
    };
    const bool wide = ends.size() > 0 && ends.data()[ends.size() - 1] > std::numeric_limits<std::int32_t>::max();
    return wide ? copy(std::int64_t{0}) : copy(std::int32_t{0});
}

template <class T>
nb::tuple take(SparseRows<T>& self) {
    SparsePart<T>& all = self.all();
    nb::object ends = starts(all.ends);
    all.ends.clear();
    nb::object data = to_numpy(all.data);
    return nb::make_tuple(data, to_numpy(all.indices), ends);
}

template <class T>
void define_rows(nb::module_& m, const char* name) {
    nb::class_<SparseRows<T>>(m, name, "Rows of a sparse matrix that are added one after the other.")
        .def(
            "__init__",
            [](SparseRows<T>* self, std::size_t n_features) {
                require(n_features <= std::numeric_limits<std::int32_t>::max(),
                        "sparse rows must have at most 2147483647 features");
                new (self) SparseRows<T>(n_features);
            },
            nb::arg("n_features"))
        .def_prop_ro("n_rows", [](SparseRows<T>& self) { return self.all().n_rows(); })
        .def("append", &append<T>, nb::arg("rows"), "Add rows with all their features.")
        .def("take", &take<T>,
             "Hand over all rows as (numbers, their features, start of each row and end of the last).");
}

template <class T>
void define_zeros(nb::module_& m, const char* name) {
    nb::class_<ZeroArray<T>>(m, name, "Zeros of which only those that do not stay so are written to.")
        .def(nb::init<Rows<T>>(), nb::arg("zeros").noconvert());
}

const Family family("sparse", [](nb::module_& m) {
    define_rows<double>(m, "SparseRows64");
    define_rows<float>(m, "SparseRows32");
    define_zeros<double>(m, "ZeroRows64");
    define_zeros<float>(m, "ZeroRows32");
});

} // namespace

} // namespace atomprint::bind
