// A course has two places, and the database itself sees to it. An enrolment is written to the course and to the student
// by one append; a synchronous projection counts the places that are taken, in the same transaction, and a CHECK
// constraint refuses the third: the whole append, with what it says of the student. In enrolment.cpp the decision is
// made by reading first; here nobody has to read.
//
//     ./course_places "dbname=shop"
#include <iostream>
#include <stdexcept>
#include <string>

#include <tidemark/tidemark.hpp>

using namespace tidemark;

struct CourseOpened {
    static constexpr std::string_view event_type = "CourseOpened";
    int places;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(CourseOpened, places)

struct PlaceTaken {
    static constexpr std::string_view event_type = "PlaceTaken";
    std::string student;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(PlaceTaken, student)

struct PlaceGivenBack {
    static constexpr std::string_view event_type = "PlaceGivenBack";
    std::string student;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(PlaceGivenBack, student)

struct Enrolled {
    static constexpr std::string_view event_type = "Enrolled";
    std::string course;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Enrolled, course)

constexpr const char* CONSTRAINT = "example_course_has_the_places";

void create_projection(Connection& school) {
    school.execute(
        "CREATE TABLE IF NOT EXISTS example_course (course text PRIMARY KEY, places integer NOT NULL, "
        "taken integer NOT NULL DEFAULT 0, CONSTRAINT example_course_has_the_places CHECK (taken <= places))");
    school.execute(
        "CREATE OR REPLACE FUNCTION example_count_places(event es_events) RETURNS void LANGUAGE plpgsql AS $$ BEGIN "
        "IF event.event_type = 'CourseOpened' THEN "
        "INSERT INTO example_course VALUES (event.stream_id, (event.data ->> 'places')::integer); "
        "ELSE UPDATE example_course SET taken = taken + CASE event.event_type WHEN 'PlaceTaken' THEN 1 ELSE -1 END "
        "WHERE course = event.stream_id; "
        "END IF; END $$");
    school.projection("example-courses")
        .create({.handler = "example_count_places",
                 .filter = {.category = "seminar", .types = {{"CourseOpened", "PlaceTaken", "PlaceGivenBack"}}},
                 .mode = ProjectionDefinition::Mode::sync,
                 .tables = {"example_course"}});
}

bool try_to_enrol(Connection& school, const std::string& course, const std::string& student) {
    const std::string name = student.substr(0, student.rfind("-of-"));
    try {
        school.append_streams({{.stream = student, .events = {encode(Enrolled{course})}},
                               {.stream = course, .events = {encode(PlaceTaken{student})}}});
        std::cout << name << " is enrolled\n";
        return true;
    } catch (const server_error& refused) {
        if (refused.constraint() != CONSTRAINT) throw;
        std::cout << name << " is not, by " << refused.constraint() << "\n";
        return false;
    }
}

void require(bool holds, const char* what) {
    if (!holds) throw std::logic_error(std::string("broken: ") + what);
    std::cout << what << "\n";
}

int main(int count, char** arguments) try {
    Connection school(count > 1 ? arguments[1] : "");
    create_projection(school);
    const std::string run = Uuid::make().to_string();  // each run has a course and students of its own
    const std::string course = "seminar-" + run, ada = "student-ada-of-" + run, ben = "student-ben-of-" + run,
                      cy = "student-cy-of-" + run;
    school.append(course, CourseOpened{2}, ExpectedVersion::no_stream());

    require(try_to_enrol(school, course, ada) && try_to_enrol(school, course, ben), "two students have the places");
    require(!try_to_enrol(school, course, cy), "the third is refused");
    require(school.stream_version(course) == 3 && school.stream_version(cy) == 0,
            "with all that was written for it, to the course and to the student");

    school.append(course, PlaceGivenBack{ada}, 3);
    require(try_to_enrol(school, course, cy), "the place that is given back is the third student's");
    require(school.execute("SELECT taken FROM example_course WHERE course = $1", course).get<int>(0, 0) == 2,
            "and the table says what the log says");
} catch (const std::exception& problem) {
    std::cerr << problem.what() << "\n";
    return 1;
}
