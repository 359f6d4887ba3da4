// A course has five places, and twelve students want one, all at the same time. Each enrolment reads the course and the
// student, decides, and writes to both or to neither. Exactly five succeed, and course and students agree on who.
//
//     ./enrolment "dbname=shop"
#include <future>
#include <iostream>
#include <latch>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include <tidemark/tidemark.hpp>

using namespace tidemark;

struct CourseOpened {
    static constexpr std::string_view event_type = "CourseOpened";
    std::string title;
    std::size_t places;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(CourseOpened, title, places)

struct PlaceTaken {
    static constexpr std::string_view event_type = "PlaceTaken";
    std::string student;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(PlaceTaken, student)

struct Enrolled {
    static constexpr std::string_view event_type = "Enrolled";
    std::string course;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Enrolled, course)

struct Course {
    using Events = EventTypes<CourseOpened, PlaceTaken>;
    static constexpr std::string_view category = "course";
    std::size_t places = 0;
    std::set<std::string> students;

    void apply(const CourseOpened& event) { places = event.places; }
    void apply(const PlaceTaken& event) { students.insert(event.student); }
};

struct Student {
    using Events = EventTypes<Enrolled>;
    static constexpr std::string_view category = "student";
    std::set<std::string> courses;

    void apply(const Enrolled& event) { courses.insert(event.course); }
};

struct Refused : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// The decision.
void enrol(Command& command, const std::string& student, const std::string& course) {
    const auto wanted = command.load<Course>(course);
    if (command.load<Student>(student).courses.contains(course)) throw Refused("enrolled already");
    if (wanted.students.size() >= wanted.places) throw Refused("the course is full");
    command.append(stream_of<Course>(course), PlaceTaken{student});
    command.append(stream_of<Student>(student), Enrolled{course});
}

bool try_to_enrol(Connection& connection, const std::string& student, const std::string& course, std::latch& race) {
    const std::string name = student.substr(0, student.find('-'));
    int attempts = 0;
    try {
        CommandExecutor executor(connection, {.max_attempts = 100});
        executor.run({stream_of<Course>(course), stream_of<Student>(student)}, [&](Command& command) {
            enrol(command, student, course);
            // For the example: nobody goes on before all have seen the course empty.
            if (++attempts == 1) race.arrive_and_wait();
        });
        std::cout << name + " is enrolled, in attempt " + std::to_string(attempts) + "\n";
        return true;
    } catch (const Refused& refusal) {
        std::cout << name + " is not: " + refusal.what() + "\n";
        return false;
    }
}

void require(bool holds, const char* what) {
    if (!holds) throw std::logic_error(std::string("broken: ") + what);
    std::cout << what << "\n";
}

int main(int count, char** arguments) try {
    Pool pool({.conninfo = count > 1 ? arguments[1] : ""}, {.max_size = 13});  // all students and the office
    auto office = pool.acquire();
    const std::string run = Uuid::make().to_string();  // each run has a course and students of its own
    office->append(stream_of<Course>(run), encode(CourseOpened{"Celestial navigation", 5}),
                   ExpectedVersion::no_stream());

    std::vector<std::string> students;
    for (const char* name : {"Ada", "Ben", "Cy", "Dora", "Eve", "Fay", "Gus", "Hal", "Ida", "Jo", "Kim", "Lou"})
        students.push_back(name + ("-" + run));
    std::latch race(12);
    std::vector<std::future<bool>> enrolments;
    for (const std::string& student : students)
        enrolments.push_back(std::async(std::launch::async, [&] {
            return pool.with([&](Connection& connection) { return try_to_enrol(connection, student, run, race); });
        }));
    int enrolled = 0;
    for (auto& enrolment : enrolments) enrolled += enrolment.get() ? 1 : 0;

    const auto course = Repository<Course>::load(*office, run);
    require(enrolled == 5 && course->students.size() == 5, "the course is full, and no fuller");
    bool agree = true;
    for (const std::string& student : students)
        agree = agree && Repository<Student>::load(*office, student)->courses.contains(run) ==
                             course->students.contains(student);
    require(agree, "the students and the course agree on who is enrolled");
    require(!try_to_enrol(*office, *course->students.begin(), run, race), "nobody is enrolled twice");
    require(Repository<Course>::load(*office, run).version() == 6, "the course has its opening and five enrolments");
} catch (const std::exception& problem) {
    std::cerr << problem.what() << "\n";
    return 1;
}
